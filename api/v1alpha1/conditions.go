// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Types of conditions. Ready, Reconciling and Stalled follow kstatus, so that kubectl wait, Flux and Argo CD understand
// them (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus).
const (
	// ConditionReady is True when the settings are in force, that is, when the CronJob is as the policy wants it. It
	// says nothing of how the backups fare: BackupSucceeded does.
	ConditionReady = "Ready"
	// ConditionReconciling is True while the operator still works on getting there by itself. Negative polarity: it is
	// there only when True.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when somebody has to act before the settings can be in force. Negative polarity: it is
	// there only when True.
	ConditionStalled = "Stalled"
	// ConditionBackupSucceeded is True when the last run made a complete backup, False when it did not, Unknown before
	// the first run ended.
	ConditionBackupSucceeded = "BackupSucceeded"
	// ConditionSynchronized is True when rsyncDirectory holds the backups that it should, False when the last
	// synchronization failed, Unknown before the first. Only with fileBackupMode RSYNC.
	ConditionSynchronized = "Synchronized"
	// ConditionDelayed is True when a run that should be going on is not: it can't start, or it hangs with its node, or
	// its time passed without one. Negative polarity: it is there only when True.
	ConditionDelayed = "Delayed"
	// ConditionUnusual is True when the last backup differs from those before it in a way that ordinary days do not explain.
	// No complete backup may be removed meanwhile. Negative polarity: it is there only when True.
	ConditionUnusual = "Unusual"
)

// Reasons of Ready, and of Stalled or Reconciling beside it.
const (
	// ReasonScheduled: Ready is True, backups run by the schedule.
	ReasonScheduled = "Scheduled"
	// ReasonSuspended: Ready is True, spec.suspend holds backups back.
	ReasonSuspended = "Suspended"
	// ReasonDisabled: Ready is True, both backups are disabled, so nothing is scheduled.
	ReasonDisabled = "Disabled"
	// ReasonInvalidSchedule: spec.schedule is no cron line.
	ReasonInvalidSchedule = "InvalidSchedule"
	// ReasonInvalidTimeZone: spec.timeZone is not in the tz database.
	ReasonInvalidTimeZone = "InvalidTimeZone"
	// ReasonUndecodable: the policy was stored with a value that the operator cannot decode.
	ReasonUndecodable = "Undecodable"
	// ReasonInvalidExclude: a pattern of exclude is malformed.
	ReasonInvalidExclude = "InvalidExclude"
	// ReasonHostPathNotAllowed: a hostPath volume where the operator's administrator does not allow any.
	ReasonHostPathNotAllowed = "HostPathNotAllowed"
	// ReasonClaimNotFound: a PersistentVolumeClaim that the policy names does not exist.
	ReasonClaimNotFound = "ClaimNotFound"
	// ReasonClaimLost: the volume of a PersistentVolumeClaim that the policy names does not exist any more.
	ReasonClaimLost = "ClaimLost"
	// ReasonClaimTerminating: a PersistentVolumeClaim that the policy names is being deleted.
	ReasonClaimTerminating = "ClaimTerminating"
	// ReasonClaimBlockMode: a PersistentVolumeClaim that the policy names has the volumeMode Block.
	ReasonClaimBlockMode = "ClaimBlockMode"
	// ReasonVolumesOnDifferentNodes: volumes that only one node at a time can mount are in use on different nodes, so no
	// pod can mount them all.
	ReasonVolumesOnDifferentNodes = "VolumesOnDifferentNodes"
	// ReasonClaimReadWriteOncePod: a claim that only one pod at a time can mount is the appliance's, so no run can.
	ReasonClaimReadWriteOncePod = "ClaimReadWriteOncePod"
	// ReasonCronJobNotOwned: a CronJob that is not the policy's has the name that the policy's needs.
	ReasonCronJobNotOwned = "CronJobNotOwned"
	// ReasonOperatorNotPermitted: the operator lacks a permission in the cluster, which is not the policy's fault.
	ReasonOperatorNotPermitted = "OperatorNotPermitted"
	// ReasonNamespaceTerminating: the policy's namespace is being deleted.
	ReasonNamespaceTerminating = "NamespaceTerminating"
	// ReasonCronJobRefused: the API server refused the CronJob that the settings make.
	ReasonCronJobRefused = "CronJobRefused"
	// ReasonProgressing: the API server could not be asked; the operator tries again by itself.
	ReasonProgressing = "Progressing"
)

// Reasons of BackupSucceeded and Synchronized. A run that failed gives its own reason, such as NotEnoughSpace.
const (
	// ReasonSucceeded: all is well.
	ReasonSucceeded = "Succeeded"
	// ReasonNoRunYet: no run has ended yet.
	ReasonNoRunYet = "NoRunYet"
	// ReasonFailed: the run failed without saying why.
	ReasonFailed = "Failed"
	// ReasonNoReport: the run's runner ended without a valid report of this run, so nothing shows that a backup was made.
	ReasonNoReport = "NoReport"
	// ReasonJobDeleted: the run's Job was deleted before it ended, or before the operator saw how it ended.
	ReasonJobDeleted = "JobDeleted"
)

// Reasons of BackupSucceeded that Kubernetes gives for a run that ended without a word of its own. Those of Jobs and of
// containers keep the names that they have there.
const (
	// ReasonOOMKilled: the run needed more memory than its limit.
	ReasonOOMKilled = "OOMKilled"
	// ReasonEvicted: the node was short of memory or disk, or was drained, and ended the run.
	ReasonEvicted = "Evicted"
	// ReasonDeadlineExceeded: the run took longer than spec.job.activeDeadlineSeconds.
	ReasonDeadlineExceeded = "DeadlineExceeded"
	// ReasonBackoffLimitExceeded: all tries of spec.job.backoffLimit failed, and the last one did not say why.
	ReasonBackoffLimitExceeded = "BackoffLimitExceeded"
)

// Reasons of Delayed, and ReasonEvicted besides.
const (
	// ReasonUnschedulable: there is no node for the run's pod. The message is the scheduler's.
	ReasonUnschedulable = "Unschedulable"
	// ReasonVolumeNotMounted: a volume of the run can't be mounted. The message is the kubelet's.
	ReasonVolumeNotMounted = "VolumeNotMounted"
	// ReasonImageNotPulled: an image of the run can't be pulled. The message is the kubelet's.
	ReasonImageNotPulled = "ImageNotPulled"
	// ReasonPodNotStarted: the run's pod has not started, for another reason, which is in the message if it is known.
	ReasonPodNotStarted = "PodNotStarted"
	// ReasonPodRefused: the API server refused the run's pod: Pod Security admission, a quota, a webhook.
	ReasonPodRefused = "PodRefused"
	// ReasonNodeLost: the node that the run is on does not answer.
	ReasonNodeLost = "NodeLost"
	// ReasonPodNotStopped: the run was told to end, but its pod can't be removed, so no later run can start.
	ReasonPodNotStopped = "PodNotStopped"
	// ReasonScheduleMissed: the time of a run passed and none started.
	ReasonScheduleMissed = "ScheduleMissed"
)

// Reasons of findings, which are events and stand in status.lastRun.findings.
const (
	// ReasonArchiveDamaged: a run found damage in an earlier archive. Its own archive is whole.
	ReasonArchiveDamaged = "ArchiveDamaged"
	// ReasonClockSkew: archives have names that are in the future. A clock was ahead when they were made, or is behind.
	ReasonClockSkew = "ClockSkew"
	// ReasonBackupsLeftBehind: backups remain where earlier settings had them. No run removes these.
	ReasonBackupsLeftBehind = "BackupsLeftBehind"
)

// Reasons of Unusual. They are findings too.
const (
	// ReasonSourceShrank: a volume lost most of its files or of their content.
	ReasonSourceShrank = "SourceShrank"
	// ReasonFileSystemMissing: a file system that was mounted in a volume, or as the volume, is not mounted any more.
	ReasonFileSystemMissing = "FileSystemMissing"
	// ReasonNothingBackedUp: the backup holds no files, and none before it did.
	ReasonNothingBackedUp = "NothingBackedUp"
)

// Labels and annotations.
const (
	// LabelPolicy names the policy on all that belongs to it.
	LabelPolicy = "backup.appliance.io/policy"
	// AnnotationRunNow is, on a Job, the value of spec.runNow that it was made for.
	AnnotationRunNow = "backup.appliance.io/run-now"
	// AnnotationBackupTarget is, on a Job, the backupDirectory and the volume that the run's backups are in, as in
	// status.backupTarget.
	AnnotationBackupTarget = "backup.appliance.io/backup-target"
	// AnnotationTemplate is, on a Job, the digest of the template that it was made from.
	AnnotationTemplate = "backup.appliance.io/template"
	// AnnotationReplaces is, on a Job, the name of the Job that it replaces.
	AnnotationReplaces = "backup.appliance.io/replaces"
	// AnnotationSyncTarget is, on a Job, the rsyncDirectory and the volume that the run synchronizes to, as in
	// status.syncTarget.
	AnnotationSyncTarget = "backup.appliance.io/sync-target"
)
