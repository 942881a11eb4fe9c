// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Outcome is how a run ended.
//
// +kubebuilder:validation:Enum=Succeeded;Incomplete;Failed
type Outcome string

const (
	// OutcomeSucceeded means that a complete archive was made and, when asked for, synchronized.
	OutcomeSucceeded Outcome = "Succeeded"
	// OutcomeIncomplete means that an archive was made but lacks something that should have been in it.
	OutcomeIncomplete Outcome = "Incomplete"
	// OutcomeFailed means that the run did not do what it was asked to.
	OutcomeFailed Outcome = "Failed"
)

// BackupPolicyStatus is what the operator saw last of a policy.
type BackupPolicyStatus struct {
	// observedGeneration is the generation of the spec that the rest of the status describes. It is -1 until the operator
	// first looks at the policy, so that tools that follow kstatus do not take a new policy for a working one.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// protection answers whether the data is protected: the worst that is true of the policy, in one word.
	// +optional
	Protection *Protection `json:"protection,omitempty"`

	// conditions are:
	// Ready (the settings are in force), with Reconciling and Stalled beside it as kstatus has them;
	// BackupSucceeded (the last run made a complete backup);
	// Synchronized (rsyncDirectory holds what it should);
	// Delayed (a run that should be going on is not), which is there only when True;
	// Unusual (the last backup differs from those before it as ordinary days do not explain), which is there only when True.
	// +listType=map
	// +listMapKey=type
	// +patchStrategy=merge
	// +patchMergeKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type" protobuf:"bytes,1,rep,name=conditions"`

	// schedule is the effective schedule: spec.schedule with a value for each H.
	// +optional
	Schedule string `json:"schedule,omitempty"`

	// lastScheduleTime is when the schedule last started a run.
	// +optional
	LastScheduleTime *metav1.Time `json:"lastScheduleTime,omitempty"`

	// nextScheduleTime is when the schedule starts the next run; empty while backups are suspended or disabled.
	// +optional
	NextScheduleTime *metav1.Time `json:"nextScheduleTime,omitempty"`

	// lastMissedTime is when the schedule last should have started a run and none started in time.
	// +optional
	LastMissedTime *metav1.Time `json:"lastMissedTime,omitempty"`

	// lastRunNow is the value of spec.runNow for which a run was last started.
	// +optional
	LastRunNow string `json:"lastRunNow,omitempty"`

	// lastRunNowTime is when that was.
	// +optional
	LastRunNowTime *metav1.Time `json:"lastRunNowTime,omitempty"`

	// activeJobs are the names of the Jobs of runs that go on, or wait to start, now.
	// +listType=atomic
	// +optional
	ActiveJobs []string `json:"activeJobs,omitempty"`

	// jobs are the Jobs of the policy's runs that exist. By them the operator counts each run once, and notices a Job that
	// is deleted before it has ended. Only Jobs that the policy's CronJob controls are runs: those that the schedule,
	// runNow or kubectl create job --from makes.
	// +listType=atomic
	// +optional
	Jobs []KnownJob `json:"jobs,omitempty"`

	// lastSuccessTime is when the last complete backup was done. A run counts as one if its report says so and its runner
	// ended with exit status 0; if its pod was gone before the report could be read, if its Job counts a pod that
	// succeeded, which means the same exit status.
	// +optional
	LastSuccessTime *metav1.Time `json:"lastSuccessTime,omitempty"`

	// lastSyncTime is when rsyncDirectory last held all that it should. Only with fileBackupMode RSYNC; empty again when
	// the settings name another rsyncDirectory, or another volume for it.
	// +optional
	LastSyncTime *metav1.Time `json:"lastSyncTime,omitempty"`

	// syncTarget is the rsyncDirectory, and the volume that it is in, of which lastSyncTime and the condition Synchronized
	// speak.
	// +optional
	SyncTarget string `json:"syncTarget,omitempty"`

	// backupTarget is where runs put their backups: the backupDirectory, and the volume that it is in.
	// +optional
	BackupTarget string `json:"backupTarget,omitempty"`

	// lastRun is the run that ended last.
	// +optional
	LastRun *Run `json:"lastRun,omitempty"`

	// lastReportedRun is the last run that left a report, while lastRun left none: the figures in it are of that run, not
	// of the last one.
	// +optional
	LastReportedRun *Run `json:"lastReportedRun,omitempty"`

	// consecutiveFailures is how many runs in a row, up to the last one, did not succeed.
	// +optional
	ConsecutiveFailures *int32 `json:"consecutiveFailures,omitempty"`

	// backups are the backups that backupDirectory held after the last run that could tell.
	// +optional
	Backups *RetainedBackups `json:"backups,omitempty"`
}

// KnownJob is a Job of a run.
type KnownJob struct {
	// name is the Job's name.
	// +required
	Name string `json:"name,omitempty"`

	// uid is the Job's UID.
	// +required
	UID string `json:"uid,omitempty"`

	// ended says that the run has ended, and that lastRun and consecutiveFailures account for it.
	// +optional
	Ended bool `json:"ended,omitempty"`
}

// Run is a run that ended.
type Run struct {
	// job is the name of the run's Job.
	// +optional
	Job string `json:"job,omitempty"`

	// jobUID is the UID of the run's Job.
	// +optional
	JobUID string `json:"jobUID,omitempty"`

	// outcome is Succeeded, Incomplete or Failed.
	// +optional
	Outcome Outcome `json:"outcome,omitempty"`

	// reason says in one word why the run did not succeed.
	// +optional
	Reason string `json:"reason,omitempty"`

	// message says what happened and, unless all is well, what to do.
	// +optional
	Message string `json:"message,omitempty"`

	// reportMissing says that the run's figures are unknown, because its runner left no valid report, or because its pod
	// was gone before the report could be read.
	// +optional
	ReportMissing bool `json:"reportMissing,omitempty"`

	// startTime is when the run began.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// completionTime is when the run ended.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// duration is the time between the two.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^-?([0-9]{1,6}h)?([0-9]{1,6}m)?[0-9]{1,6}(\.[0-9]{1,9})?(ns|us|µs|ms|s)$`
	// +optional
	Duration *metav1.Duration `json:"duration,omitempty"`

	// archive is the file name of the archive that was made; empty if none was.
	// +optional
	Archive string `json:"archive,omitempty"`

	// bytesRead is how many bytes the files in the archive have, whether they were read or known to be unchanged.
	// +optional
	BytesRead *int64 `json:"bytesRead,omitempty"`

	// bytesWritten is the size of the archive in bytes.
	// +optional
	BytesWritten *int64 `json:"bytesWritten,omitempty"`

	// bytesNew is how many of the archive's bytes were made from the volumes. The rest was taken over from the archive
	// before, because the files had not changed. Where bytesShared is about as much as bytesReused, this is also the space
	// that the backup takes.
	// +optional
	BytesNew *int64 `json:"bytesNew,omitempty"`

	// bytesReused is how many of the archive's bytes were taken over from the archive before. The archive is complete
	// and does not need the other one.
	// +optional
	BytesReused *int64 `json:"bytesReused,omitempty"`

	// bytesShared is how many of bytesReused take no space of their own, because both archives hold them in the same
	// blocks of the disk.
	// +optional
	BytesShared *int64 `json:"bytesShared,omitempty"`

	// bytesVerified is how many bytes of the archive before the run read and found to be as they were written. Each run
	// checks a share of what it reuses, so that all of it is checked within half as many runs as totalBackups, at most 28.
	// +optional
	BytesVerified *int64 `json:"bytesVerified,omitempty"`

	// reuseMethod is how the reused bytes came into the archive: Reflink (both archives share the blocks on the disk, as
	// XFS and Btrfs can), ServerCopy (the server of the network file system copied them) or Copy (the run read and wrote
	// them). It is empty when nothing was reused.
	// +optional
	ReuseMethod string `json:"reuseMethod,omitempty"`

	// reusedFrom is the file name of the archive that bytesReused were taken from.
	// +optional
	ReusedFrom string `json:"reusedFrom,omitempty"`

	// bytesSent is how many bytes rsync transferred.
	// +optional
	BytesSent *int64 `json:"bytesSent,omitempty"`

	// files is how many regular files are in the archive.
	// +optional
	Files *int64 `json:"files,omitempty"`

	// findings are what the run found wrong beside its own backup, for example an earlier archive that is damaged. A run
	// that succeeded can have findings; each of them is also an event.
	// +listType=atomic
	// +optional
	Findings []Finding `json:"findings,omitempty"`

	// warnings is how many files changed, vanished or could not be read while they were archived, how many sources were
	// empty that held files before, and how many parts of the archive before turned out to be damaged.
	// +optional
	Warnings *int64 `json:"warnings,omitempty"`

	// warningMessages are the first few of the warnings.
	// +listType=atomic
	// +optional
	WarningMessages []string `json:"warningMessages,omitempty"`
}

// Finding is something that a run found and that needs an administrator's attention.
type Finding struct {
	// reason is the kind of the finding in CamelCase, for example ArchiveDamaged.
	// +required
	Reason string `json:"reason,omitempty"`

	// message states what was found and what to do about it.
	// +optional
	Message string `json:"message,omitempty"`
}

// RetainedBackups sums up what backupDirectory holds.
type RetainedBackups struct {
	// target is where they are, as in status.backupTarget when the run that counted them was started.
	// +optional
	Target string `json:"target,omitempty"`

	// count is how many backups there are.
	// +optional
	Count *int32 `json:"count,omitempty"`

	// bytes is their size together. Where archives share blocks of the disk, they take less space than that.
	// +optional
	Bytes *int64 `json:"bytes,omitempty"`

	// freeBytes is the space that is left where they are kept.
	// +optional
	FreeBytes *int64 `json:"freeBytes,omitempty"`

	// totalBytes is the size of the file system where they are kept.
	// +optional
	TotalBytes *int64 `json:"totalBytes,omitempty"`

	// newest are the newest of them, newest first.
	// +listType=atomic
	// +optional
	Newest []RetainedBackup `json:"newest,omitempty"`
}

// RetainedBackup is one backup in backupDirectory.
type RetainedBackup struct {
	// name is the archive's file name.
	// +required
	Name string `json:"name,omitempty"`

	// bytes is the archive's size.
	// +optional
	Bytes *int64 `json:"bytes,omitempty"`

	// incomplete says that the archive lacks something that should have been in it.
	// +optional
	Incomplete bool `json:"incomplete,omitempty"`
}
