// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/report"
)

func mirrorPolicy() *backupv1alpha1.BackupPolicy {
	policy := rsyncPolicy()
	policy.Spec.RsyncDirectory = "/mirror"
	policy.Spec.Storage = &backupv1alpha1.Storage{PersistentVolumeClaim: &backupv1alpha1.ClaimReference{ClaimName: "backups"}}
	return policy
}

func TestTheSyncsTimeIsTold(t *testing.T) {
	policy := mirrorPolicy()
	past := newPastRuns(t).of(policy)
	past.succeeded("run-1", 1)
	status := statusOf(t, policy, past.seen)
	synced := status.LastSyncTime
	if synced == nil || !synced.Time.Equal(start.Add(time.Minute)) || status.SyncTarget != "/mirror in the claim backups" {
		t.Fatalf("synchronized at %v to %q", synced, status.SyncTarget)
	}
	said := good()
	said.Outcome, said.Reason, said.Sync = report.Failed, report.ReasonSyncFailed, &report.Sync{Message: "no space left"}
	past.reported(past.job("run-2", 2, batchv1.JobFailed, ""), said)
	if status = statusOf(t, policy, past.seen); !status.LastSyncTime.Equal(synced) {
		t.Errorf("a synchronization that failed counts: %v", status.LastSyncTime)
	}
}

// TestASuccessSpeaksForItsOwnMirror: what the settings name since is none that a run has seen.
func TestASuccessSpeaksForItsOwnMirror(t *testing.T) {
	for name, mutate := range map[string]func(*backupv1alpha1.BackupPolicySpec){
		"directory": func(s *backupv1alpha1.BackupPolicySpec) { s.RsyncDirectory = "/elsewhere" },
		"claim": func(s *backupv1alpha1.BackupPolicySpec) {
			s.Storage = &backupv1alpha1.Storage{PersistentVolumeClaim: &backupv1alpha1.ClaimReference{ClaimName: "more"}}
		},
		"server": func(s *backupv1alpha1.BackupPolicySpec) {
			s.RemotePartition = &backupv1alpha1.RemotePartition{
				Enabled: ptr.To(true), NFS: &backupv1alpha1.NFSSource{Server: "nas", Path: "/export"}}
		},
		"share": func(s *backupv1alpha1.BackupPolicySpec) {
			s.RemotePartition = &backupv1alpha1.RemotePartition{
				Enabled: ptr.To(true), CIFS: &backupv1alpha1.CIFSSource{Server: "nas", Share: "backups"}}
		},
		"driver": func(s *backupv1alpha1.BackupPolicySpec) {
			s.RemotePartition = &backupv1alpha1.RemotePartition{
				Enabled: ptr.To(true), CSI: &corev1.CSIVolumeSource{Driver: "d", VolumeAttributes: map[string]string{"a": "b"}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			policy := mirrorPolicy()
			past := newPastRuns(t).of(policy)
			past.succeeded("run-1", -3)
			statusOf(t, policy, past.seen)
			before := policy.Status.SyncTarget
			mutate(&policy.Spec)
			status := statusOf(t, policy, past.seen)
			wantCondition(t, status, "Synchronized", metav1.ConditionUnknown, "NoRunYet")
			wantCondition(t, status, "BackupSucceeded", metav1.ConditionTrue, "Succeeded")
			if status.LastSyncTime != nil || status.SyncTarget == before ||
				!strings.Contains(meta.FindStatusCondition(status.Conditions, "Synchronized").Message, status.SyncTarget) {
				t.Errorf("synchronized at %v to %q", status.LastSyncTime, status.SyncTarget)
			}
			// A run that began before the change went to the previous mirror, whenever it ends.
			past.seen.jobs[0].Status.Conditions[0].LastTransitionTime = metav1.NewTime(start.Add(time.Minute))
			wantCondition(t, statusOf(t, policy, past.seen), "Synchronized", metav1.ConditionUnknown, "NoRunYet")
			past.succeeded("run-2", 5)
			wantCondition(t, statusOf(t, policy, past.seen), "Synchronized", metav1.ConditionTrue, "Succeeded")
		})
	}
}

// TestTheMirrorIsTheOneInForce: settings that are refused change nothing about where runs synchronize to.
func TestTheMirrorIsTheOneInForce(t *testing.T) {
	policy := mirrorPolicy()
	past := newPastRuns(t).of(policy)
	past.succeeded("run-1", 1)
	statusOf(t, policy, past.seen)
	policy.Spec.RsyncDirectory = "/elsewhere"
	status := nextStatus(policy, stalled(cronJobRecordOf(&batchv1.CronJob{}), &fault{reason: "InvalidExclude"}), past.seen, start)
	wantCondition(t, status, "Synchronized", metav1.ConditionTrue, "Succeeded")
}

// TestSettingsAndRunNowInOneApply: the run's Job is older than the status that names its mirror, and its times are those
// of the change, to the second.
func TestSettingsAndRunNowInOneApply(t *testing.T) {
	policy := mirrorPolicy()
	past := newPastRuns(t).of(policy)
	past.succeeded("run-1", -3)
	statusOf(t, policy, past.seen)
	for i, startedBefore := range []time.Duration{0, time.Second, time.Hour} {
		policy.Spec.RsyncDirectory = backupv1alpha1.Directory(fmt.Sprintf("/mirror-%d", i))
		job := past.job(fmt.Sprintf("run-now-%d", i), 1+i, batchv1.JobComplete, "")
		past.seen.jobs[len(past.seen.jobs)-1].CreationTimestamp = metav1.NewTime(start.Add(-startedBefore))
		past.seen.pods[job] = []corev1.Pod{{Status: corev1.PodStatus{Phase: corev1.PodRunning}}}
		wantCondition(t, statusOf(t, policy, past.seen), "Synchronized", metav1.ConditionUnknown, "NoRunYet")
		past.seen.pods[job] = nil
		past.reported(job, good())
		wantCondition(t, statusOf(t, policy, past.seen), "Synchronized", metav1.ConditionTrue, "Succeeded")
	}
}

// TestSynchronizingAgain to a mirror that the last run has synchronized to needs no other run, and a status from before
// the mirror was in it stays good.
func TestSynchronizingAgain(t *testing.T) {
	policy := mirrorPolicy()
	past := newPastRuns(t).of(policy)
	past.succeeded("run-1", -3)
	statusOf(t, policy, past.seen)
	policy.Status.SyncTarget = ""
	wantCondition(t, statusOf(t, policy, past.seen), "Synchronized", metav1.ConditionTrue, "Succeeded")

	policy.Spec.FileBackupMode = backupv1alpha1.FileBackupModeArchive
	status := statusOf(t, policy, past.seen)
	if meta.FindStatusCondition(status.Conditions, "Synchronized") != nil || status.LastSyncTime != nil || status.SyncTarget != "" {
		t.Errorf("nothing is synchronized, yet: %+v", status)
	}
	policy.Spec.FileBackupMode = backupv1alpha1.FileBackupModeRSYNC
	wantCondition(t, statusOf(t, policy, past.seen), "Synchronized", metav1.ConditionTrue, "Succeeded")

	policy.Spec.FileBackupMode = backupv1alpha1.FileBackupModeArchive
	past.succeeded("run-2", 1)
	past.seen.pods["uid-run-2"] = nil
	statusOf(t, policy, past.seen)
	policy.Spec.FileBackupMode = backupv1alpha1.FileBackupModeRSYNC
	wantCondition(t, statusOf(t, policy, past.seen), "Synchronized", metav1.ConditionUnknown, "NoRunYet")
}
