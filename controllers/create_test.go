// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/test/controlplane"
)

// TestWhatIsNoLongerWantedGoesAtTheAdoption: between its creation and its adoption a CronJob may come to be wanted
// differently, by other settings, other pods that hold the claims, or a newer operator.
func TestWhatIsNoLongerWantedGoesAtTheAdoption(t *testing.T) {
	// There is no such policy in the cluster, so that the operator under test leaves its CronJob alone.
	policy := readPolicy(t, "testdata/job.yaml")
	policy.Namespace, policy.UID = namespace(t), "b6f1d3f5-5a5b-4b4c-8f5e-0123456789ab"
	wanted := func(change func(*backupv1alpha1.BackupPolicySpec)) *batchv1.CronJob {
		change(&policy.Spec)
		schedule, f := checkSettings(policy, Options{AllowHostPath: true})
		if f != nil {
			t.Fatal(f)
		}
		return BuildCronJob(policy, schedule, nil, reconciler.Options)
	}
	direct := *reconciler
	direct.Client = controlplane.NewClient(t)
	_, err := direct.createCronJob(t.Context(), wanted(func(spec *backupv1alpha1.BackupPolicySpec) {
		spec.TimeZone = "America/Sao_Paulo"
		spec.Job.NodeSelector = map[string]string{"disk": "fast"}
		spec.Job.Tolerations = []corev1.Toleration{{Key: "storage", Operator: corev1.TolerationOpExists}}
		spec.Job.InitContainers = append(spec.Job.InitContainers, corev1.Container{Name: "late", Image: "late"})
	}))
	if err != nil {
		t.Fatal(err)
	}
	second := wanted(func(spec *backupv1alpha1.BackupPolicySpec) {
		spec.TimeZone = ""
		spec.Job.NodeSelector, spec.Job.Tolerations = nil, nil
		spec.Job.InitContainers = spec.Job.InitContainers[:len(spec.Job.InitContainers)-1]
	})
	if err := direct.applyCronJob(t.Context(), second, cronJobRecordOf(mustGetCronJob(t, policy))); err != nil {
		t.Fatal(err)
	}
	got := mustGetCronJob(t, policy)

	other := policy.DeepCopy()
	other.Namespace = namespace(t)
	second.Namespace = other.Namespace
	if err := direct.applyCronJob(t.Context(), second, &cronJobRecord{}); err != nil {
		t.Fatal(err)
	}
	want := mustGetCronJob(t, other)
	if ownSet(got) != ownSet(want) {
		t.Errorf("owned %s, want %s", ownSet(got), ownSet(want))
	}
	theirOwn := cmpopts.IgnoreFields(metav1.ObjectMeta{},
		"Namespace", "UID", "ResourceVersion", "Generation", "CreationTimestamp", "ManagedFields")
	got.Status, want.Status = batchv1.CronJobStatus{}, batchv1.CronJobStatus{} // The schedule is another one.
	if diff := cmp.Diff(want, got, theirOwn); diff != "" {
		t.Errorf("(-as applied +as adopted)\n%s", diff)
	}
}

// TestOnlyTheCronJobThatWasLookedAtIsApplied: in the instant after it was deleted, somebody else may make one of its name.
func TestOnlyTheCronJobThatWasLookedAtIsApplied(t *testing.T) {
	policy := readPolicy(t, "testdata/minimal.yaml")
	policy.Namespace, policy.UID = namespace(t), "b6f1d3f5-5a5b-4b4c-8f5e-0123456789ab"
	schedule, f := checkSettings(policy, Options{})
	if f != nil {
		t.Fatal(f)
	}
	wanted := BuildCronJob(policy, schedule, nil, reconciler.Options)
	direct := *reconciler
	direct.Client = controlplane.NewClient(t)
	gone := &cronJobRecord{uid: "0f2d6b0e-8c39-4a7e-9b0a-0123456789ab", controller: policy.UID}
	if err := direct.applyCronJob(t.Context(), wanted, gone); !apierrors.IsConflict(err) {
		t.Errorf("applied to one that is gone: %v", err)
	}
	strangers := wanted.DeepCopy()
	strangers.OwnerReferences, strangers.Spec.Schedule = nil, "59 23 31 12 *"
	if err := direct.Create(t.Context(), strangers); err != nil {
		t.Fatal(err)
	}
	if err := direct.applyCronJob(t.Context(), wanted, gone); err == nil || !strings.Contains(err.Error(), "made anew by somebody") {
		t.Errorf("applied to a stranger's: %v", err)
	}
	if got := mustGetCronJob(t, policy); got.ResourceVersion != strangers.ResourceVersion {
		t.Errorf("a stranger's was changed: %+v", got.Spec)
	}
}
