// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/controllers/holders"
)

// heldBy is a claim of such an access mode that these pods hold.
func heldBy(mode corev1.PersistentVolumeAccessMode, pods ...holders.Pod) claim {
	return claim{accessModes: []corev1.PersistentVolumeAccessMode{mode}, holders: pods}
}

// holderOn is a pod that is so many minutes older than the others.
func holderOn(node, name string, older int) holders.Pod {
	return holders.Pod{
		Name: name, Node: node, Created: start.Add(-time.Duration(older) * time.Minute),
		Labels: map[string]string{"app": name},
	}
}

// policyOfClaims backs these claims up.
func policyOfClaims(claims ...string) *backupv1alpha1.BackupPolicy {
	policy := rsyncPolicy()
	for _, name := range claims {
		policy.Spec.ApplicationBackup.Volumes = append(policy.Spec.ApplicationBackup.Volumes, backupv1alpha1.SourceVolume{
			Name: name, PersistentVolumeClaim: &backupv1alpha1.ClaimReference{ClaimName: name},
		})
	}
	return policy
}

// followed are the values of the label app of the pods that the runs of a policy have to be beside.
func followed(policy *backupv1alpha1.BackupPolicy, claims map[string]claim) string {
	a := affinity(nil, heldClaims(&policy.Spec, claims))
	if a == nil || a.PodAffinity == nil {
		return ""
	}
	var apps []string
	for _, term := range a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
		apps = append(apps, term.LabelSelector.MatchLabels["app"])
	}
	return strings.Join(apps, " ")
}

func TestRunsFollowTheHoldersOfTheirClaims(t *testing.T) {
	const rwo, rwx, rox = corev1.ReadWriteOnce, corev1.ReadWriteMany, corev1.ReadOnlyMany
	on := holderOn
	several := heldBy(rwo, on("a", "x", 1))
	several.accessModes = append(several.accessModes, rwx)
	readers := heldBy(rwo, on("a", "x", 1))
	readers.accessModes = append(readers.accessModes, rox)
	for name, test := range map[string]struct {
		claims map[string]claim
		want   string
	}{
		"nobody holds it":                       {map[string]claim{"data": heldBy(rwo)}, ""},
		"the claim is not there":                {map[string]claim{}, ""},
		"a claim for one node":                  {map[string]claim{"data": heldBy(rwo, on("a", "x", 1))}, "x"},
		"a claim for many nodes":                {map[string]claim{"data": heldBy(rwx, on("a", "x", 1))}, ""},
		"a claim for many readers":              {map[string]claim{"data": heldBy(rox, on("a", "x", 1))}, ""},
		"a claim for one node and many":         {map[string]claim{"data": several}, ""},
		"a claim for one node, or many readers": {map[string]claim{"data": readers}, "x"},
		"the oldest holder":                     {map[string]claim{"data": heldBy(rwo, on("a", "x", 2), on("a", "y", 1))}, "x"},
		"one pod holds two": {
			map[string]claim{"data": heldBy(rwo, on("a", "x", 1)), "logs": heldBy(rwo, on("a", "x", 1))}, "x",
		},
		"two pods on one node": {
			map[string]claim{"data": heldBy(rwo, on("a", "x", 1)), "logs": heldBy(rwo, on("a", "y", 1))}, "x y",
		},
		"the node that has both, though the oldest holder is elsewhere": {
			map[string]claim{"data": heldBy(rwo, on("a", "x", 9), on("b", "y", 1)), "logs": heldBy(rwo, on("b", "z", 1))},
			"y z",
		},
		"of two nodes that have both, that of the oldest holder": {
			map[string]claim{
				"data": heldBy(rwo, on("a", "w", 3), on("b", "x", 2)), "logs": heldBy(rwo, on("b", "y", 4), on("a", "z", 1)),
			}, "x y",
		},
		"no node has both": {
			map[string]claim{"data": heldBy(rwo, on("a", "x", 1)), "logs": heldBy(rwo, on("b", "y", 1))}, "x y",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := followed(policyOfClaims("data", "logs"), test.claims); got != test.want {
				t.Errorf("runs follow %q, want %q", got, test.want)
			}
		})
	}
}

// TestRunsFollowWhoeverHoldsTheirStorage mounts other pods' claims for writing: they bind runs as sources do.
func TestRunsFollowWhoeverHoldsTheirStorage(t *testing.T) {
	reference := &backupv1alpha1.ClaimReference{ClaimName: "shared"}
	claims := map[string]claim{"shared": heldBy(corev1.ReadWriteOnce, holderOn("a", "x", 1))}
	policy := policyOfClaims()
	policy.Spec.Storage = &backupv1alpha1.Storage{PersistentVolumeClaim: reference}
	if got := followed(policy, claims); got != "x" {
		t.Errorf("storage: runs follow %q, want x", got)
	}
	yes := true
	policy = policyOfClaims()
	policy.Spec.RemotePartition = &backupv1alpha1.RemotePartition{Enabled: &yes, PersistentVolumeClaim: reference}
	if got := followed(policy, claims); got != "x" {
		t.Errorf("remote partition: runs follow %q, want x", got)
	}
}

func TestRunsOfClonesFollowNobody(t *testing.T) {
	claims := map[string]claim{"data": heldBy(corev1.ReadWriteOnce, holderOn("a", "x", 1))}
	policy := policyOfClaims("data")
	policy.Spec.ApplicationBackup.Volumes[0].CopyMethod = backupv1alpha1.CopyMethodClone
	if got := followed(policy, claims); got != "" {
		t.Errorf("runs follow %q", got)
	}
}

// TestAnUpdateLeavesTheCronJobAsItIs has the appliance updated: new pods, with other values of the labels that tools set,
// on the same node.
func TestAnUpdateLeavesTheCronJobAsItIs(t *testing.T) {
	before := holderOn("a", "appliance", 60)
	before.Labels = map[string]string{
		"app": "appliance", "statefulset.kubernetes.io/pod-name": "appliance-0",
		"pod-template-hash": "1", "controller-revision-hash": "1", "pod-template-generation": "1",
		"app.kubernetes.io/version": "1", "helm.sh/chart": "appliance-1",
		"controller-uid": "1", "batch.kubernetes.io/controller-uid": "1",
		"job-name": "1", "batch.kubernetes.io/job-name": "1",
	}
	after := holderOn("a", "appliance-after-the-update", 1)
	after.Labels = map[string]string{
		"app": "appliance", "statefulset.kubernetes.io/pod-name": "appliance-0",
		"pod-template-hash": "2", "controller-revision-hash": "2", "pod-template-generation": "2",
		"app.kubernetes.io/version": "2", "helm.sh/chart": "appliance-2",
		"controller-uid": "2", "batch.kubernetes.io/controller-uid": "2",
		"job-name": "2", "batch.kubernetes.io/job-name": "2",
	}
	policy := policyOfClaims("data")
	schedule, _ := checkSettings(policy, Options{})
	build := func(pod holders.Pod) any {
		return BuildCronJob(policy, schedule, map[string]claim{"data": heldBy(corev1.ReadWriteOnce, pod)}, Options{})
	}
	if diff := cmp.Diff(build(before), build(after)); diff != "" {
		t.Error(diff)
	}
	if labels := lastingLabels(before.Labels); labels["statefulset.kubernetes.io/pod-name"] != "appliance-0" {
		t.Errorf("the labels %v don't tell one pod of a StatefulSet from another", labels)
	}
	if len(before.Labels) != 11 {
		t.Error("the pod's own labels were changed")
	}
}

// TestTheUsersPlacementIsNotChanged builds twice from one policy: what is added must not end up in the policy.
func TestTheUsersPlacementIsNotChanged(t *testing.T) {
	policy := policyOfClaims("data")
	policy.Spec.Job = &backupv1alpha1.JobTemplate{
		Tolerations: make([]corev1.Toleration, 0, 4),
		Affinity: &corev1.Affinity{PodAffinity: &corev1.PodAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: make([]corev1.PodAffinityTerm, 0, 4),
		}},
	}
	pod := holderOn("a", "x", 1)
	pod.Tolerations = []corev1.Toleration{{Key: "k", Operator: corev1.TolerationOpExists}}
	held := []heldClaim{{name: "data", holders: []holders.Pod{pod}}}
	before := policy.DeepCopy()
	for range 2 {
		affinity(policy.Spec.Job.Affinity, held)
		if got := tolerations(policy.Spec.Job.Tolerations, held); len(got) != 1 {
			t.Errorf("tolerations: %v", got)
		}
	}
	if diff := cmp.Diff(before, policy); diff != "" {
		t.Error(diff)
	}
	if spare := policy.Spec.Job.Tolerations[:1][0]; spare.Key != "" {
		t.Error("a toleration was written into the policy's own list")
	}
}

func TestTheSameTolerationIsAddedOnce(t *testing.T) {
	pod, other := holderOn("a", "x", 1), holderOn("a", "y", 1)
	pod.Tolerations = []corev1.Toleration{{Key: "k", Operator: corev1.TolerationOpExists}}
	other.Tolerations = []corev1.Toleration{
		{Key: "k", Operator: corev1.TolerationOpExists}, {Key: "l", Operator: corev1.TolerationOpExists},
	}
	held := []heldClaim{{name: "data", holders: []holders.Pod{pod}}, {name: "logs", holders: []holders.Pod{other}}}
	got := tolerations([]corev1.Toleration{{Key: "l", Operator: corev1.TolerationOpExists}}, held)
	want := []corev1.Toleration{
		{Key: "l", Operator: corev1.TolerationOpExists}, {Key: "k", Operator: corev1.TolerationOpExists},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestAHolderWithoutLabels is found by its node alone.
func TestAHolderWithoutLabels(t *testing.T) {
	pod := holderOn("node-a", "x", 1)
	pod.Labels = nil
	got := affinity(nil, []heldClaim{{name: "data", holders: []holders.Pod{pod}}})
	want := &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchFields: []corev1.NodeSelectorRequirement{
				{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{"node-a"}},
			},
		}}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
