// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package controlplane starts a real etcd and kube-apiserver for tests, with the project's CRD installed.
//
// The binaries are found by KUBEBUILDER_ASSETS, which make test sets. There is no fake to fall back on: without them
// tests fail.
package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// Config is the way to the control plane, as cluster administrator. Set while Run runs the tests.
var Config *rest.Config

// Run starts a control plane, runs a package's tests against it and stops it. It is for TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(controlplane.Run(m)) }
func Run(m *testing.M) int {
	stop, err := Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the control plane:", err)
		return 1
	}
	return code
}

// Start starts a control plane and sets Config. For a TestMain that has more to set up than Run does.
func Start() (stop func() error, err error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS is not set: run the tests by make test, or by " +
			"KUBEBUILDER_ASSETS=$(hack/cluster/build.sh) go test")
	}
	_, self, _, _ := runtime.Caller(0)
	environment := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join(filepath.Dir(self), "../../config/crd/bases")},
		ErrorIfCRDPathMissing: true,
	}
	environment.ControlPlane.Etcd = &envtest.Etcd{}
	environment.ControlPlane.Etcd.Configure().Set("unsafe-no-fsync", "true")
	if Config, err = environment.Start(); err != nil {
		return nil, fmt.Errorf("start the control plane: %w", err)
	}
	return environment.Stop, nil
}

// NewClient is a client that reads from the API server itself.
func NewClient(t testing.TB) client.WithWatch {
	t.Helper()
	c, err := client.NewWithWatch(Config, client.Options{Scheme: NewScheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// NewScheme knows the types of Kubernetes and of the project.
func NewScheme(t testing.TB) *k8sruntime.Scheme {
	t.Helper()
	scheme := k8sruntime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), backupv1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return scheme
}
