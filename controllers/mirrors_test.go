// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"appliance.io/backup-operator/controllers/watches"
	"appliance.io/backup-operator/test/controlplane"
)

// filledFrom is the check whether an operator that looks at a cluster by this config knows what it goes by. What is cached is
// known.
func filledFrom(t *testing.T, config *rest.Config) healthz.Checker {
	t.Helper()
	mirrors, err := NewMirrors(config, watches.New(clock.RealClock{}))
	if err != nil {
		t.Fatal(err)
	}
	check, err := (&BackupPolicyReconciler{Mirrors: mirrors}).Filled(t.Context(), &informertest.FakeInformers{
		Scheme: controlplane.NewClient(t).Scheme(),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range mirrors.all() {
		go func() {
			if err := one.Start(t.Context()); err != nil {
				t.Error(err)
			}
		}()
	}
	return check
}

func TestWhatIsMirroredIsKnownInTheEnd(t *testing.T) {
	check := filledFrom(t, controlplane.Config)
	eventually(t, func() error { return check(nil) })
}

// TestWhatIsNotKnownIsNamed asks a server that refuses everything.
func TestWhatIsNotKnownIsNamed(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not for you", http.StatusForbidden)
	}))
	t.Cleanup(refusing.Close)
	check := filledFrom(t, &rest.Config{Host: refusing.URL})
	eventually(t, func() error {
		told := fmt.Sprint(check(nil))
		for _, kind := range []string{"CronJobs", "PersistentVolumeClaims", "pods that hold claims"} {
			if !strings.Contains(told, "the "+kind+" of all namespaces are not known yet: ") {
				return fmt.Errorf("the %s are not named in %q", kind, told)
			}
		}
		if refused := strings.Count(told, "not for you"); refused != 3 {
			return fmt.Errorf("why is told %d times in %q", refused, told)
		}
		return nil
	})
}
