// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/test/controlplane"
)

// hold makes a pod on a node that mounts these claims.
func hold(t *testing.T, namespace, node, name string, claims ...string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, Labels: map[string]string{"app": name},
	}}
	pod.Spec.NodeName = node
	pod.Spec.TerminationGracePeriodSeconds = ptr.To[int64](0)
	pod.Spec.Containers = []corev1.Container{{Name: "appliance", Image: "appliance"}}
	for _, claim := range claims {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
		}})
	}
	if err := controlplane.NewClient(t).Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// follows is the value of the label app that the pod has that the policy's runs have to be beside; empty if there is none.
func follows(cronJob *batchv1.CronJob) string {
	a := cronJob.Spec.JobTemplate.Spec.Template.Spec.Affinity
	if a == nil || a.PodAffinity == nil || len(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution) == 0 {
		return ""
	}
	return a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector.MatchLabels["app"]
}

func eventuallyFollows(t *testing.T, policy *backupv1alpha1.BackupPolicy, want string) {
	t.Helper()
	eventually(t, func() error {
		if got := follows(mustGetCronJob(t, policy)); got != want {
			return fmt.Errorf("runs follow %q, want %q", got, want)
		}
		return nil
	})
}

// TestTheCronJobFollowsTheHolders goes through what becomes of an appliance's pods.
func TestTheCronJobFollowsTheHolders(t *testing.T) {
	c := controlplane.NewClient(t)
	ns := namespace(t, "data", "backups")
	policy := apply(t, "testdata/minimal.yaml", ns)
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	eventuallyFollows(t, policy, "")

	pod := hold(t, ns, "node-a", "appliance", "data")
	eventuallyFollows(t, policy, "appliance")

	before := pod.DeepCopy()
	pod.Labels["app"] = "renamed"
	if err := c.Patch(t.Context(), pod, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	eventuallyFollows(t, policy, "renamed")

	if err := c.Delete(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	eventuallyFollows(t, policy, "")

	again := hold(t, ns, "node-b", "appliance", "data")
	eventuallyFollows(t, policy, "appliance")

	again.Status.Phase = corev1.PodSucceeded
	if err := c.Status().Update(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	eventuallyFollows(t, policy, "")
}

// TestWhoIsNotFollowed makes pods that are no reason for a run to be anywhere, and last one that is: once that is seen, the
// others were seen before it.
func TestWhoIsNotFollowed(t *testing.T) {
	ns := namespace(t, "data", "backups", "others")
	policy := apply(t, "testdata/minimal.yaml", ns)
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	waitSettled(t, policy)
	written := writesIn(ns)

	hold(t, ns, "", "not-scheduled", "data")
	hold(t, ns, "node-a", "of-another-claim", "others")
	runner := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: ns, Name: "run", Labels: map[string]string{backupv1alpha1.LabelPolicy: "another"},
	}}
	runner.Spec = corev1.PodSpec{NodeName: "node-a", Containers: []corev1.Container{{Name: "backup", Image: "i"}}}
	runner.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
	}}}
	if err := controlplane.NewClient(t).Create(t.Context(), runner); err != nil {
		t.Fatal(err)
	}
	hold(t, namespace(t, "data"), "node-a", "of-another-namespace", "data")
	hold(t, ns, "node-a", "appliance", "data")
	eventuallyFollows(t, policy, "appliance")
	if n := writesIn(ns) - written; n != 1 {
		t.Errorf("%d writes for one pod that matters", n)
	}
}

// TestAPolicyThatComesAfterTheAppliance finds the pods that were there before it.
func TestAPolicyThatComesAfterTheAppliance(t *testing.T) {
	ns := namespace(t, "data", "backups")
	hold(t, ns, "node-a", "appliance", "data")
	eventually(t, func() error {
		if len(reconciler.Mirrors.holders.Of(ns, "data")) == 0 {
			return errors.New("the pod is not known yet")
		}
		return nil
	})
	policy := apply(t, "testdata/minimal.yaml", ns)
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	if got := follows(mustGetCronJob(t, policy)); got != "appliance" {
		t.Errorf("the first CronJob follows %q", got)
	}
	if generation := mustGetCronJob(t, policy).Generation; generation != 1 {
		t.Errorf("the CronJob was written %d times", generation)
	}
}

// TestVolumesOnDifferentNodes has the appliance's pods come together again.
func TestVolumesOnDifferentNodes(t *testing.T) {
	ns := namespace(t, "data", "backups")
	policy := apply(t, "testdata/minimal.yaml", ns)
	hold(t, ns, "node-a", "appliance", "data")
	browser := hold(t, ns, "node-b", "browser", "backups")
	waitReady(t, policy, metav1.ConditionFalse, "VolumesOnDifferentNodes")
	mustGetCronJob(t, policy)
	if err := controlplane.NewClient(t).Delete(t.Context(), browser); err != nil {
		t.Fatal(err)
	}
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
}

// TestNothingIsWrittenForHeldAndClonedClaims reconciles a policy that follows a pod and clones a claim over and over, as a
// restart does.
func TestNothingIsWrittenForHeldAndClonedClaims(t *testing.T) {
	ns := namespace(t, "backups")
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data", Namespace: ns}}
	claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}
	claim.Spec.StorageClassName = ptr.To("fast")
	// Not as Kubernetes itself would write it.
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1024Mi")}
	if err := controlplane.NewClient(t).Create(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	hold(t, ns, "node-a", "browser", "backups")
	policy := apply(t, "testdata/minimal.yaml", ns)
	waitReady(t, policy, metav1.ConditionFalse, "ClaimReadWriteOncePod")
	change(t, policy, func(spec *backupv1alpha1.BackupPolicySpec) {
		spec.ApplicationBackup.Volumes[0].CopyMethod = backupv1alpha1.CopyMethodClone
	})
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	eventuallyFollows(t, policy, "browser")
	wantQuiet(t, policy)
}

// TestACloneGrowsWithItsClaim resizes the claim as a resizer does.
func TestACloneGrowsWithItsClaim(t *testing.T) {
	ns := namespace(t, "data", "backups")
	policy := readPolicy(t, "testdata/minimal.yaml")
	policy.Namespace, policy.UID = ns, ""
	policy.Spec.ApplicationBackup.Volumes[0].CopyMethod = backupv1alpha1.CopyMethodClone
	c := controlplane.NewClient(t)
	if err := c.Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	sized := func(want string) {
		t.Helper()
		eventually(t, func() error {
			volume := mustGetCronJob(t, policy).Spec.JobTemplate.Spec.Template.Spec.Volumes[0]
			size := volume.Ephemeral.VolumeClaimTemplate.Spec.Resources.Requests[corev1.ResourceStorage]
			if size.Cmp(resource.MustParse(want)) != 0 {
				return fmt.Errorf("the clone asks for %s, want %s", size.String(), want)
			}
			return nil
		})
	}
	sized("1Gi")
	claim := &corev1.PersistentVolumeClaim{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "data"}, claim); err != nil {
		t.Fatal(err)
	}
	claim.Status.Phase = corev1.ClaimBound
	claim.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("5Gi")}
	if err := c.Status().Update(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	sized("5Gi")
}
