// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
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
	if diff := cmp.Diff(want, got, theirOwn); diff != "" {
		t.Errorf("(-as applied +as adopted)\n%s", diff)
	}
}
