// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
)

// component is one long-running process of a node.
type component struct {
	name string
	args []string // args[0] is the program
}

// logFile is where a component's output goes.
func (c Cluster) logFile(n Node, component string) string {
	return c.nodePath(n, "log", component+".log")
}

func (c Cluster) program(name string) string { return filepath.Join(c.Assets, name) }

// etcd keeps its data without fsync: a test cluster does not outlive its
// machine, and on a slow disk the fsyncs are most of what a write costs.
func (c Cluster) etcd() component {
	const client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
	return component{"etcd", []string{
		c.program("etcd"),
		"--name=etcd",
		"--data-dir=" + c.path("etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=etcd=" + peer,
		"--unsafe-no-fsync",
		"--log-level=warn",
	}}
}

func (c Cluster) apiserver() component {
	const issuer = "https://kubernetes.default.svc." + clusterDomain
	return component{"kube-apiserver", []string{
		c.program("kube-apiserver"),
		"--etcd-servers=http://127.0.0.1:2379",
		fmt.Sprintf("--secure-port=%d", apiserverPort),
		"--advertise-address=" + c.controlPlane().Address.String(),
		"--service-cluster-ip-range=" + serviceCIDR,
		"--allow-privileged=true",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--client-ca-file=" + c.pki("ca.crt"),
		"--tls-cert-file=" + c.pki("apiserver.crt"),
		"--tls-private-key-file=" + c.pki("apiserver.key"),
		"--kubelet-client-certificate=" + c.pki("apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + c.pki("apiserver-kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + c.pki("service-accounts.crt"),
		"--service-account-signing-key-file=" + c.pki("service-accounts.key"),
	}}
}

// controllerManager has no rival, so it does not wait for an election.
func (c Cluster) controllerManager() component {
	kubeconfig := c.componentKubeconfig("kube-controller-manager")
	return component{"kube-controller-manager", []string{
		c.program("kube-controller-manager"),
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + c.pki("service-accounts.key"),
		"--root-ca-file=" + c.pki("ca.crt"),
		"--cluster-signing-cert-file=" + c.pki("ca.crt"),
		"--cluster-signing-key-file=" + c.pki("ca.key"),
	}}
}

func (c Cluster) scheduler() component {
	kubeconfig := c.componentKubeconfig("kube-scheduler")
	return component{"kube-scheduler", []string{
		c.program("kube-scheduler"),
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--leader-elect=false",
	}}
}
