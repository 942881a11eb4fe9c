// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

func TestObstacles(t *testing.T) {
	const rwo, rwop = corev1.ReadWriteOnce, corev1.ReadWriteOncePod
	twoNodes := map[string]claim{
		"data": heldBy(rwo, holderOn("node-a", "x", 2), holderOn("node-c", "z", 1)),
		"logs": heldBy(rwo, holderOn("node-b", "y", 1)),
	}
	for name, test := range map[string]struct {
		claims map[string]claim
		mend   func(*backupv1alpha1.BackupPolicySpec)
		reason string
		words  []string
	}{
		"volumes on different nodes": {
			claims: twoNodes, reason: "VolumesOnDifferentNodes",
			words: []string{"data on node-a and node-c", "logs on node-b"},
		},
		"and one of them cloned": {
			claims: twoNodes, reason: "Scheduled",
			mend: func(s *backupv1alpha1.BackupPolicySpec) {
				s.ApplicationBackup.Volumes[1].CopyMethod = backupv1alpha1.CopyMethodClone
			},
		},
		"and the policy disabled": {
			claims: twoNodes, reason: "Disabled",
			mend: func(s *backupv1alpha1.BackupPolicySpec) { s.ApplicationBackup.Enabled = ptr.To(false) },
		},
		"and the policy suspended": {
			claims: twoNodes, reason: "VolumesOnDifferentNodes",
			mend: func(s *backupv1alpha1.BackupPolicySpec) { s.Suspend = ptr.To(true) },
		},
		"a volume that is moving to the node of the other": {
			claims: map[string]claim{
				"data": heldBy(rwo, holderOn("node-a", "x", 2), holderOn("node-b", "x", 1)),
				"logs": heldBy(rwo, holderOn("node-b", "y", 1)),
			}, reason: "Scheduled",
		},
		"a source for one pod": {
			claims: map[string]claim{"data": heldBy(rwop, holderOn("a", "x", 1)), "logs": heldBy(rwo)},
			reason: "ClaimReadWriteOncePod", words: []string{"claim data of volume data", "copyMethod", "ReadWriteOnce"},
		},
		"a source for one pod that nobody holds yet": {
			claims: map[string]claim{"data": heldBy(rwo), "logs": heldBy(rwop)},
			reason: "ClaimReadWriteOncePod", words: []string{"claim logs"},
		},
		"a source for one pod, cloned": {
			claims: map[string]claim{"data": heldBy(rwop, holderOn("a", "x", 1)), "logs": heldBy(rwo)}, reason: "Scheduled",
			mend: func(s *backupv1alpha1.BackupPolicySpec) {
				s.ApplicationBackup.Volumes[0].CopyMethod = backupv1alpha1.CopyMethodClone
			},
		},
		"storage for one pod": {
			claims: map[string]claim{"data": heldBy(rwo), "logs": heldBy(rwo), "backups": heldBy(rwop)}, reason: "Scheduled",
			mend: storeIn("backups"),
		},
		"storage for one pod that another pod has": {
			claims: map[string]claim{"data": heldBy(rwo), "logs": heldBy(rwo), "backups": heldBy(rwop, holderOn("a", "browser", 1))},
			mend:   storeIn("backups"),
			reason: "ClaimReadWriteOncePod", words: []string{"claim backups", "pod browser"},
		},
		"a claim that is being deleted": {
			claims: map[string]claim{"data": heldBy(rwo), "logs": {terminating: true}}, reason: "ClaimTerminating",
			words: []string{"claim logs"},
		},
		"a claim without files": {
			claims: map[string]claim{"data": heldBy(rwo), "logs": {volumeMode: ptr.To(corev1.PersistentVolumeBlock)}},
			reason: "ClaimBlockMode", words: []string{"claim logs", "volumeMode Filesystem"},
		},
		"a claim without files, cloned": {
			claims: map[string]claim{"data": {volumeMode: ptr.To(corev1.PersistentVolumeBlock)}, "logs": heldBy(rwo)},
			reason: "ClaimBlockMode", words: []string{"claim data"},
			mend: func(s *backupv1alpha1.BackupPolicySpec) {
				s.ApplicationBackup.Volumes[0].CopyMethod = backupv1alpha1.CopyMethodClone
			},
		},
		"a claim that is missing": {
			claims: map[string]claim{"data": heldBy(rwop)}, reason: "ClaimNotFound", words: []string{"logs"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			policy := policyOfClaims("data", "logs")
			if test.mend != nil {
				test.mend(&policy.Spec)
			}
			status := statusOf(t, policy, observation{claims: test.claims})
			ready := meta.FindStatusCondition(status.Conditions, "Ready")
			if ready.Reason != test.reason {
				t.Fatalf("Ready is %s (%s): %s; want %s", ready.Status, ready.Reason, ready.Message, test.reason)
			}
			for _, word := range test.words {
				if !strings.Contains(ready.Message, word) {
					t.Errorf("the message doesn't say %q: %s", word, ready.Message)
				}
			}
			if strings.HasPrefix(test.reason, "V") || strings.HasPrefix(test.reason, "ClaimR") {
				wantCondition(t, status, "Stalled", metav1.ConditionTrue, test.reason)
				if status.Schedule == "" || (status.NextScheduleTime == nil) != suspended(&policy.Spec) {
					t.Errorf("the CronJob is in force all the same: schedule %q, next %v", status.Schedule, status.NextScheduleTime)
				}
			}
		})
	}
}

func storeIn(claim string) func(*backupv1alpha1.BackupPolicySpec) {
	return func(spec *backupv1alpha1.BackupPolicySpec) {
		spec.Storage = &backupv1alpha1.Storage{
			PersistentVolumeClaim: &backupv1alpha1.ClaimReference{ClaimName: claim},
		}
	}
}
