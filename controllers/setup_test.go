// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"appliance.io/backup-operator/test/controlplane"
)

// TestAStandbyBeginsToLookWhenItIsElected, and not when it is started, which may be weeks before: the grace that it gives
// to those who start runs is from then on.
func TestAStandbyBeginsToLookWhenItIsElected(t *testing.T) {
	manager, err := ctrl.NewManager(controlplane.Config, ctrl.Options{
		Scheme:     controlplane.NewClient(t).Scheme(),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	now := clocktesting.NewFakePassiveClock(start)
	standby := &BackupPolicyReconciler{
		Client: manager.GetClient(), APIReader: manager.GetAPIReader(), Mirrors: FixedMirrors(), Clock: now,
	}
	if err := standby.SetupWithManager(t.Context(), manager); err != nil {
		t.Fatal(err)
	}
	elected := start.Add(7 * day)
	now.SetTime(elected)
	if got := standby.started(); !got.Equal(elected) {
		t.Errorf("looks since %s, want %s", got, elected)
	}
	now.SetTime(elected.Add(time.Hour))
	if got := standby.started(); !got.Equal(elected) {
		t.Errorf("looks since %s an hour later, want %s", got, elected)
	}
}
