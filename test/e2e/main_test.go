// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package e2e tests the product as its users have it, on a real cluster with a real kubelet: policies are applied, Jobs
// run, and the tests read what is really in the directories. hack/e2e.sh makes the cluster and runs them.
//
// There is one test for each line of the settings table, named after it.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// patience is how long anything may take before a test gives up. It is no expectation of speed: one node may be
// emulated in software.
const patience = 10 * time.Minute

// cluster is a client that reads from the API server itself, as cluster administrator.
var cluster client.WithWatch

func TestMain(m *testing.M) {
	if err := connect(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func connect() error {
	if os.Getenv("KUBECONFIG") == "" {
		return errors.New("KUBECONFIG is not set: run these tests by make e2e, which makes a cluster for them")
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	// Tests look often and must not wait for each other.
	config.QPS, config.Burst = 200, 400
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), backupv1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	cluster, err = client.NewWithWatch(config, client.Options{Scheme: scheme})
	return err
}

// eventually waits until what holds, and tells why it didn't when it never does.
func eventually(t *testing.T, holds func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

// command runs a program and returns what it printed.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// kubectl runs kubectl as an administrator does.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return kubectlIn(t.Context(), t, args...)
}
