// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// The name of an archive ends in the time of its backup, from the package catalog:
// appliance-20261122T050000Z.tar.zst.
const (
	archiveSuffix     = ".tar.zst"
	archiveTimeLayout = "20060102T150405Z"
)

// protectedSince is when the policy last had reason to be content: when its last complete backup was done, or when the
// policy was made.
func protectedSince(policy *backupv1alpha1.BackupPolicy) time.Time {
	if last := policy.Status.LastSuccessTime; last != nil {
		return last.Time
	}
	return policy.CreationTimestamp.Time
}

func laterThan(t *metav1.Time, other time.Time) bool {
	return t != nil && t.After(other)
}

// syncLag is by how much the newest backup is newer than what the mirror holds; false when there is no mirror, none that
// ever was current, or no backup.
func syncLag(policy *backupv1alpha1.BackupPolicy) (time.Duration, bool) {
	held, synced := policy.Status.Backups, policy.Status.LastSyncTime
	if !synchronizes(&policy.Spec) || synced == nil || held == nil || len(held.Newest) == 0 {
		return 0, false
	}
	newest, ok := archiveTime(held.Newest[0].Name)
	if !ok {
		return 0, false
	}
	return max(newest.Sub(synced.Time), 0), true
}

// archiveTime is when the backup of this file name began.
func archiveTime(name string) (time.Time, bool) {
	name, ok := strings.CutSuffix(name, archiveSuffix)
	if !ok || len(name) < len(archiveTimeLayout) {
		return time.Time{}, false
	}
	t, err := time.Parse(archiveTimeLayout, name[len(name)-len(archiveTimeLayout):])
	return t, err == nil
}

// expectedBytes is how much space the next backup will take if it is like the last one; false when that is not known.
// What the last one shares with the backup before it takes none.
func expectedBytes(last *backupv1alpha1.Run) (int64, bool) {
	if last == nil || last.BytesWritten == nil {
		return 0, false
	}
	return max(*last.BytesWritten-ptr.Deref(last.BytesShared, 0), 0), true
}

// readyNow is the condition Ready as it holds for the present settings: one that speaks of earlier ones says nothing of
// these.
func readyNow(policy *backupv1alpha1.BackupPolicy) metav1.Condition {
	ready := meta.FindStatusCondition(policy.Status.Conditions, backupv1alpha1.ConditionReady)
	if ready == nil || policy.Status.ObservedGeneration < policy.Generation {
		return metav1.Condition{
			Type: backupv1alpha1.ConditionReady, Status: metav1.ConditionUnknown, Reason: reasonNotObserved,
		}
	}
	return *ready
}

// reasonNotObserved is the reason that metrics give for a Ready that is Unknown. No condition has it.
const reasonNotObserved = "NotObserved"
