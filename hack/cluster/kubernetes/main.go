// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command cluster-node is everything that a local test cluster runs, in one
// static binary: etcd, the Kubernetes control plane, the kubelet, kube-proxy
// and kubectl.
//
// They share most of their code, so linking them once costs a fraction of the
// build time and of the disk space of seven separate binaries. Which of them
// runs is told by the name that the binary is called by (a symbolic link named
// kube-apiserver, say) or else by the first argument.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// programs are the names that the binary answers to.
var programs = map[string]func(){
	"etcd":                    func() { etcdmain.Main(os.Args) },
	"kube-apiserver":          func() { run(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() { run(controllermanager.NewControllerManagerCommand()) },
	"kube-proxy":              func() { run(proxy.NewProxyCommand()) },
	"kube-scheduler":          func() { run(scheduler.NewSchedulerCommand()) },
	"kubectl":                 runKubectl,
	"kubelet":                 func() { run(kubelet.NewKubeletCommand(context.Background())) },
}

func main() {
	os.Args[0] = filepath.Base(os.Args[0])
	if _, known := programs[os.Args[0]]; !known && len(os.Args) > 1 {
		os.Args = os.Args[1:]
	}
	program, known := programs[os.Args[0]]
	if !known {
		fmt.Fprintf(os.Stderr, "no program named %q: call this by one of the names %s\n", os.Args[0], names())
		os.Exit(2)
	}
	program()
}

func run(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

// runKubectl differs from run as kubectl's own main does: errors are printed
// for people and not logged.
func runKubectl() {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}

func names() string {
	var all []string
	for name := range programs {
		all = append(all, name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
