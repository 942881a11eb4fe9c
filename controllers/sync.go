// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"fmt"
	"hash/fnv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// syncTarget names the rsyncDirectory and the volume that it is in; empty when nothing is synchronized.
func syncTarget(spec *backupv1alpha1.BackupPolicySpec) string {
	if !synchronizes(spec) {
		return ""
	}
	where := storageName(spec)
	if remoteIsEnabled(spec) {
		where = remoteName(spec.RemotePartition)
	}
	return fmt.Sprintf("%s in %s", spec.RsyncDirectory, where)
}

// backupTarget names the backupDirectory and the volume that it is in.
func backupTarget(spec *backupv1alpha1.BackupPolicySpec) string {
	where := storageName(spec)
	if spec.Storage == nil && remoteIsEnabled(spec) {
		where = remoteName(spec.RemotePartition)
	}
	return fmt.Sprintf("%s in %s", spec.BackupDirectory, where)
}

// storageName tells the storage from others.
func storageName(spec *backupv1alpha1.BackupPolicySpec) string {
	volume := corev1.VolumeSource{}
	if spec.Storage != nil {
		volume = storageVolumeSource(spec.Storage)
	}
	return volumeName(&volume)
}

// remoteName tells a remote partition from others.
func remoteName(remote *backupv1alpha1.RemotePartition) string {
	if cifs := remote.CIFS; cifs != nil {
		return fmt.Sprintf("the share //%s/%s", cifs.Server, cifs.Share)
	}
	volume := remoteVolumeSource(remote)
	return volumeName(&volume)
}

// volumeName tells a volume from others, as briefly as can be.
func volumeName(v *corev1.VolumeSource) string {
	switch {
	case v.PersistentVolumeClaim != nil:
		return "the claim " + v.PersistentVolumeClaim.ClaimName
	case v.NFS != nil:
		return "the NFS export " + v.NFS.Server + ":" + v.NFS.Path
	case v.HostPath != nil:
		return "the node's " + v.HostPath.Path
	case v.CSI != nil:
		h := fnv.New32a()
		// Neither a map of strings nor a hash can fail.
		_ = json.NewEncoder(h).Encode(v.CSI.VolumeAttributes)
		return fmt.Sprintf("a volume of %s (%08x)", v.CSI.Driver, h.Sum32())
	default:
		return "no volume"
	}
}

// retarget has the status speak of another rsyncDirectory: what runs said of the one of before is not true of this one.
func retarget(c conditions, target string) {
	status := c.status
	if status.SyncTarget == target && (target != "" || c.get(backupv1alpha1.ConditionSynchronized) == nil) {
		return
	}
	// A status that no run is known of yet is new itself; one that names no target may be of an older operator.
	was := status.SyncTarget
	adopted := was == "" && (status.LastRun == nil || c.get(backupv1alpha1.ConditionSynchronized) != nil)
	status.SyncTarget = target
	if adopted && target != "" {
		return
	}
	status.LastSyncTime = nil
	meta.RemoveStatusCondition(&status.Conditions, backupv1alpha1.ConditionSynchronized)
	if target != "" {
		c.set(backupv1alpha1.ConditionSynchronized, metav1.ConditionUnknown, backupv1alpha1.ReasonNoRunYet,
			"no run has synchronized yet to "+target)
	}
}

// takeSync records the result of a run's synchronization. A run that failed before synchronizing says nothing about the
// mirror, and one that synchronized to another mirror says nothing about this one. The Job itself names its mirror: times
// of one second cannot order a run and a change of the settings.
func takeSync(c conditions, run *endedRun) {
	target := c.status.SyncTarget
	if run.report == nil || run.report.Sync == nil || target == "" ||
		run.job.Annotations[backupv1alpha1.AnnotationSyncTarget] != target {
		return
	}
	if sync := run.report.Sync; sync.OK {
		c.setFromRun(backupv1alpha1.ConditionSynchronized, metav1.ConditionTrue, backupv1alpha1.ReasonSucceeded,
			fmt.Sprintf("rsyncDirectory holds %d backups", sync.Backups))
		c.status.LastSyncTime = &run.ended
	} else {
		c.setFromRun(backupv1alpha1.ConditionSynchronized, metav1.ConditionFalse, reasonOf(run), sync.Message)
	}
}

// setSynchronizedUnknown says so before the first synchronization.
func setSynchronizedUnknown(c conditions) {
	if c.status.SyncTarget != "" && c.get(backupv1alpha1.ConditionSynchronized) == nil {
		c.setFromRun(backupv1alpha1.ConditionSynchronized, metav1.ConditionUnknown, backupv1alpha1.ReasonNoRunYet, noRunYet)
	}
}
