// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"os/exec"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// contextWithoutTest is for cleaning up: a test's own context has ended by then.
func contextWithoutTest() context.Context { return context.Background() }

// waitGone waits until an object is gone.
func waitGone(t *testing.T, ctx context.Context, object client.Object) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := cluster.Get(ctx, client.ObjectKeyFromObject(object), object)
		if apierrors.IsNotFound(err) {
			return
		}
		select {
		case <-ctx.Done():
			t.Errorf("%s is still there: %v", object.GetName(), err)
			return
		case <-tick.C:
		}
	}
}

// diagnose is what an administrator would look at.
func (a *appliance) diagnose() string {
	var out string
	for _, args := range [][]string{
		{"get", "backuppolicies,cronjobs,jobs,pods", "-o", "wide"},
		{"describe", "backuppolicies"},
		{"get", "events", "--sort-by=.lastTimestamp"},
		{"logs", "--selector=backup.appliance.io/policy", "--tail=100", "--prefix"},
	} {
		args = append([]string{"-n", a.namespace}, args...)
		said, err := exec.CommandContext(contextWithoutTest(), "kubectl", args...).CombinedOutput()
		if err != nil {
			said = append(said, err.Error()...)
		}
		out += "\n" + string(said)
	}
	return out
}

// kubectlIn runs kubectl where a test's own context may have ended.
func kubectlIn(ctx context.Context, t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(ctx, "kubectl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
	return string(out)
}
