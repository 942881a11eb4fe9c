// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/test/controlplane"
)

// TestNothingIsWrittenWhenNothingChanged reconciles each kind of policy many times over.
func TestNothingIsWrittenWhenNothingChanged(t *testing.T) {
	for _, file := range []string{"page", "minimal", "disabled", "remote-only", "job"} {
		t.Run(file, func(t *testing.T) {
			path := "testdata/" + file + ".yaml"
			policy := apply(t, path, namespace(t, claimNames(&readPolicy(t, path).Spec)...))
			reason := map[string]string{"disabled": "Disabled", "remote-only": "Suspended"}[file]
			if reason == "" {
				reason = "Scheduled"
			}
			waitReady(t, policy, metav1.ConditionTrue, reason)
			wantQuiet(t, policy)
		})
	}
}

// wantQuiet reconciles a policy that nobody changes many times over, as a restart does, and expects no write.
func wantQuiet(t *testing.T, policy *backupv1alpha1.BackupPolicy) {
	t.Helper()
	waitSettled(t, policy)
	// The operator that runs beside this test may still be at the policy, so only this one's writes are counted.
	var written atomic.Int64
	own := *reconciler
	own.Client = interceptor.NewClient(direct, countWrites(func(string) { written.Add(1) }))
	for range 20 {
		if _, err := own.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(policy)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := written.Load(); n != 0 {
		t.Errorf("20 reconciliations with nothing to do wrote %d times", n)
	}
}

// waitSettled waits until the operator sees all that has been written of a policy: the policy's last version, its
// CronJob as it is, and its claims. Before that, it may write again what it has written, and rightly.
func waitSettled(t *testing.T, policy *backupv1alpha1.BackupPolicy) {
	t.Helper()
	c := controlplane.NewClient(t)
	eventually(t, func() error {
		key := client.ObjectKeyFromObject(policy)
		var stored, cached backupv1alpha1.BackupPolicy
		if err := errors.Join(c.Get(t.Context(), key, &stored), reconciler.Get(t.Context(), key, &cached)); err != nil {
			return err
		}
		if stored.ResourceVersion != cached.ResourceVersion {
			return fmt.Errorf("the cache has version %s of the policy, the API server %s", cached.ResourceVersion, stored.ResourceVersion)
		}
		for _, name := range claimNames(&policy.Spec) {
			claim := types.NamespacedName{Namespace: policy.Namespace, Name: name}
			if reconciler.Mirrors.claims.Get(claim) == nil {
				return fmt.Errorf("the operator doesn't see the claim %s", claim)
			}
		}
		cronJobKey := types.NamespacedName{Namespace: policy.Namespace, Name: CronJobName(policy.Name)}
		var cronJob batchv1.CronJob
		if err := c.Get(t.Context(), cronJobKey, &cronJob); err != nil {
			return err
		}
		stands, seen := cronJobRecordOf(&cronJob), reconciler.Mirrors.cronJobs.Get(cronJobKey)
		if stands.awaitsAdoption || seen == nil || *seen != *stands {
			return fmt.Errorf("the operator sees the CronJob as %+v, and it is %+v", seen, stands)
		}
		return nil
	})
}
