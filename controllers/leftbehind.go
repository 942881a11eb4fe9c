// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/report"
)

// leftBehind is that new settings put backups into another directory or volume, and those that there were remain, for no run
// looks there any more. What another filenamePrefix left in the directories that a run works in, it finds by itself.
func leftBehind(before, after *backupv1alpha1.BackupPolicyStatus) []news {
	var all []news
	tell := func(left, now, backups string) {
		all = append(all, news{
			corev1.EventTypeWarning, backupv1alpha1.ReasonBackupsLeftBehind, actionReconcile, fmt.Sprintf(
				"the settings have changed, and no run removes the %s %s any more: remove them when you no longer need them (%s). %s",
				backups, left, report.VolumeShell, now),
			fmt.Sprintf("left %d %s", after.ObservedGeneration, left),
		})
	}
	// Backups that were counted elsewhere were left behind by an earlier change.
	held, target := before.Backups, before.BackupTarget
	if target != "" && target != after.BackupTarget && held != nil && held.Target == target && ptr.Deref(held.Count, 0) > 0 {
		tell(target, "New ones are made in "+after.BackupTarget, fmt.Sprintf("%d backups in", *held.Count))
	}
	if target := before.SyncTarget; target != "" && target != after.SyncTarget && before.LastSyncTime != nil {
		now := "Backups are no longer synchronized"
		if after.SyncTarget != "" {
			now = "They are synchronized to " + after.SyncTarget + " now"
		}
		tell(target, now, "synchronized backups in")
	}
	return all
}
