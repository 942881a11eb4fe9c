// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"path"

	"github.com/bmatcuk/doublestar/v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// fault is something in the settings that the user has to mend: trying again can't help.
type fault struct {
	// reason is the condition's reason.
	reason string
	// message names the field, the value and the fix.
	message string
}

// checkSettings checks what the CRD can't. It returns the effective schedule, nil when that is what is wrong.
func checkSettings(policy *backupv1alpha1.BackupPolicy, options Options) (*Schedule, *fault) {
	if policy.Undecodable != "" {
		return nil, &fault{backupv1alpha1.ReasonUndecodable, fmt.Sprintf(
			"the operator cannot decode %s: correct this value", policy.Undecodable)}
	}
	spec := &policy.Spec
	schedule, err := parseSchedule(spec.Schedule, spec.TimeZone, policy.Namespace+"/"+policy.Name)
	if err != nil {
		return nil, &fault{err.reason, err.message}
	}
	for _, volume := range enabledVolumes(spec) {
		if f := checkExclude(volume); f != nil {
			return schedule, f
		}
	}
	if where := hostPathIn(spec); where != "" && !options.AllowHostPath {
		return schedule, &fault{backupv1alpha1.ReasonHostPathNotAllowed, fmt.Sprintf(
			"%s is a hostPath, which this operator does not allow: use a persistentVolumeClaim, or have the operator's "+
				"administrator start it with --allow-host-path", where)}
	}
	return schedule, nil
}

func checkExclude(volume backupv1alpha1.SourceVolume) *fault {
	for _, pattern := range volume.Exclude {
		if !doublestar.ValidatePattern(pattern) {
			return &fault{backupv1alpha1.ReasonInvalidExclude, fmt.Sprintf(
				"the pattern %q in exclude of volume %s is malformed: close each '[' and '{', and write '\\' before a "+
					"character that is meant literally", pattern, volume.Name)}
		}
	}
	return nil
}

// hostPathIn names the first place where the policy mounts a hostPath; empty if it doesn't.
func hostPathIn(spec *backupv1alpha1.BackupPolicySpec) string {
	for _, volume := range enabledVolumes(spec) {
		if volume.HostPath != nil {
			return "volume " + volume.Name
		}
	}
	if spec.Storage != nil && spec.Storage.HostPath != nil {
		return "storage"
	}
	return ""
}

func notOwned(policy *backupv1alpha1.BackupPolicy) *fault {
	return &fault{backupv1alpha1.ReasonCronJobNotOwned, fmt.Sprintf(
		"a CronJob %s that is not this policy's is in the way: delete it, or give the policy another name",
		CronJobName(policy.Name))}
}

// apiMessage is what the API server said, without what clients add to it.
func apiMessage(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Message
	}
	return err.Error()
}

// enabled says whether a backup is made.
func enabled(backup *backupv1alpha1.Backup) bool {
	return backup != nil && backup.Enabled != nil && *backup.Enabled
}

// disabled says whether the policy makes no backup at all.
func disabled(spec *backupv1alpha1.BackupPolicySpec) bool {
	return !enabled(spec.ApplicationBackup) && !enabled(spec.SessionsBackup)
}

func suspended(spec *backupv1alpha1.BackupPolicySpec) bool {
	return spec.Suspend != nil && *spec.Suspend
}

// enabledVolumes are the volumes that are backed up.
func enabledVolumes(spec *backupv1alpha1.BackupPolicySpec) []backupv1alpha1.SourceVolume {
	var volumes []backupv1alpha1.SourceVolume
	for _, backup := range []*backupv1alpha1.Backup{spec.ApplicationBackup, spec.SessionsBackup} {
		if enabled(backup) {
			volumes = append(volumes, backup.Volumes...)
		}
	}
	return volumes
}

// synchronizes says whether backups are synchronized.
func synchronizes(spec *backupv1alpha1.BackupPolicySpec) bool {
	return spec.FileBackupMode == backupv1alpha1.FileBackupModeRSYNC
}

func remoteIsEnabled(spec *backupv1alpha1.BackupPolicySpec) bool {
	remote := spec.RemotePartition
	return remote != nil && remote.Enabled != nil && *remote.Enabled
}

// remoteIsMounted says whether runs mount the remote partition: when something of theirs goes there. One that is
// mounted for nothing could only make runs fail.
func remoteIsMounted(spec *backupv1alpha1.BackupPolicySpec) bool {
	return remoteIsEnabled(spec) && (spec.Storage == nil || synchronizes(spec))
}

// backupDirectory is the backup directory's path in the pod.
func backupDirectory(spec *backupv1alpha1.BackupPolicySpec) string {
	if spec.Storage == nil {
		return path.Join(remotePath, string(spec.BackupDirectory))
	}
	return path.Join(storagePath, string(spec.BackupDirectory))
}

// rsyncDirectory is the rsync directory's path in the pod.
func rsyncDirectory(spec *backupv1alpha1.BackupPolicySpec) string {
	if remoteIsEnabled(spec) {
		return path.Join(remotePath, string(spec.RsyncDirectory))
	}
	return path.Join(storagePath, string(spec.RsyncDirectory))
}

// filenamePrefix is the prefix of the policy's files.
func filenamePrefix(policy *backupv1alpha1.BackupPolicy) string {
	if policy.Spec.FilenamePrefix != "" {
		return policy.Spec.FilenamePrefix
	}
	return policy.Name
}
