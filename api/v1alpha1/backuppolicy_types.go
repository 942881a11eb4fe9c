// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FileBackupMode says what is done with the archives once they are written.
//
// +kubebuilder:validation:Enum=RSYNC;Archive
type FileBackupMode string

const (
	// FileBackupModeRSYNC synchronizes the archives to rsyncDirectory with rsync.
	FileBackupModeRSYNC FileBackupMode = "RSYNC"
	// FileBackupModeArchive leaves the archives in backupDirectory and synchronizes nothing.
	FileBackupModeArchive FileBackupMode = "Archive"
)

// Directory is the path of a directory in a volume. It begins at the volume's root.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=1024
// +kubebuilder:validation:XValidation:rule="self.startsWith('/')",message="must be an absolute path in its volume: begin it with '/', such as /daily"
// +kubebuilder:validation:XValidation:rule="self.size() == 1 || !self.endsWith('/')",message="must not end with '/': write /daily instead of /daily/"
// +kubebuilder:validation:XValidation:rule="!self.contains('//') && !self.matches('(^|/)[.][.]?(/|$)')",message="must be a clean path: without '//', '.' and '..'"
// +kubebuilder:validation:XValidation:rule="!self.matches('[\\\\x00-\\\\x1f\\\\x7f]')",message="must not hold control characters"
type Directory string

// BackupPolicySpec is an appliance's backup settings.
//
// +kubebuilder:validation:XValidation:rule="has(self.storage) || (has(self.remotePartition) && self.remotePartition.enabled)",message="backupDirectory has no volume: set storage, or enable remotePartition to keep the backups there"
// +kubebuilder:validation:XValidation:rule="!has(self.fileBackupMode) || self.fileBackupMode != 'RSYNC' || has(self.rsyncDirectory)",message="fileBackupMode RSYNC needs somewhere to synchronize to: set rsyncDirectory, or set fileBackupMode to Archive"
// +kubebuilder:validation:XValidation:rule="!has(self.applicationBackup) || !has(self.applicationBackup.volumes) || !has(self.sessionsBackup) || !has(self.sessionsBackup.volumes) || !self.applicationBackup.volumes.exists(a, self.sessionsBackup.volumes.exists(s, s.name == a.name))",message="names of volumes must be unique across applicationBackup.volumes and sessionsBackup.volumes: rename one of the two"
// +kubebuilder:validation:XValidation:rule="!has(self.rsyncDirectory) || (has(self.storage) && has(self.remotePartition) && self.remotePartition.enabled && !(has(self.storage.persistentVolumeClaim) && has(self.remotePartition.persistentVolumeClaim) && self.storage.persistentVolumeClaim.claimName == self.remotePartition.persistentVolumeClaim.claimName) && !(has(self.storage.nfs) && has(self.remotePartition.nfs) && self.storage.nfs.server == self.remotePartition.nfs.server && self.storage.nfs.path == self.remotePartition.nfs.path)) || !(self.backupDirectory == self.rsyncDirectory || self.backupDirectory == '/' || self.rsyncDirectory == '/' || self.backupDirectory.startsWith(self.rsyncDirectory + '/') || self.rsyncDirectory.startsWith(self.backupDirectory + '/'))",message="backupDirectory and rsyncDirectory are on one volume, so neither may be inside the other: choose two that stand side by side, such as /daily and /mirror"
// +kubebuilder:validation:XValidation:rule="!has(self.storage) || !has(self.storage.persistentVolumeClaim) || !((has(self.applicationBackup) && has(self.applicationBackup.volumes) && self.applicationBackup.volumes.exists(v, has(v.persistentVolumeClaim) && v.persistentVolumeClaim.claimName == self.storage.persistentVolumeClaim.claimName)) || (has(self.sessionsBackup) && has(self.sessionsBackup.volumes) && self.sessionsBackup.volumes.exists(v, has(v.persistentVolumeClaim) && v.persistentVolumeClaim.claimName == self.storage.persistentVolumeClaim.claimName)))",message="the claim of storage is also among the volumes to back up, and a backup can't hold itself: give the backups a claim of their own"
// +kubebuilder:validation:XValidation:rule="!has(self.remotePartition) || !has(self.remotePartition.persistentVolumeClaim) || !((has(self.applicationBackup) && has(self.applicationBackup.volumes) && self.applicationBackup.volumes.exists(v, has(v.persistentVolumeClaim) && v.persistentVolumeClaim.claimName == self.remotePartition.persistentVolumeClaim.claimName)) || (has(self.sessionsBackup) && has(self.sessionsBackup.volumes) && self.sessionsBackup.volumes.exists(v, has(v.persistentVolumeClaim) && v.persistentVolumeClaim.claimName == self.remotePartition.persistentVolumeClaim.claimName)))",message="the claim of remotePartition is also among the volumes to back up, and a backup can't hold itself: give the backups a claim of their own"
type BackupPolicySpec struct {
	// schedule is when backups run: five cron fields (minute, hour, day of month, month, day of week) or one of
	// @hourly, @daily, @weekly, @monthly, @yearly, as in a CronJob. H in a field, as in Jenkins, stands for a value that
	// is derived from the policy's namespace and name, so that many policies don't all start at once: "H 5 * * *" is
	// some fixed minute between 05:00 and 05:59, "H H(0-5) * * *" some time in the night, "H/15 * * * *" every quarter
	// of an hour. status.schedule shows what it came to. A changed schedule or time zone applies from the moment that it
	// is in effect: a run that it would have had earlier does not start.
	// +kubebuilder:default="H 5 * * *"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Schedule string `json:"schedule,omitempty"`

	// timeZone is the time zone of the schedule, by its name in the tz database, such as America/Sao_Paulo. Default:
	// that of the cluster's kube-controller-manager, mostly UTC.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	TimeZone string `json:"timeZone,omitempty"`

	// suspend stops new backups from starting. A backup that is running continues. Runs that were due while backups were
	// suspended are not made up for. Default: false.
	// +optional
	Suspend *bool `json:"suspend,omitempty"`

	// runNow starts one run at once, whatever the schedule and suspend say, each time that it is set to another value: a
	// date, a ticket's number, anything. A run that is going on is waited for. status.lastRunNow answers with the value
	// once the run has been started, so the value may stay, in Git for example. Example: "2026-11-22 before the upgrade".
	// +kubebuilder:validation:MinLength=0
	// +kubebuilder:validation:MaxLength=253
	// +optional
	RunNow string `json:"runNow,omitempty"` //nolint:kubeapilinter // Empty is like none.

	// applicationBackup says whether and from where data, logs and configuration files are backed up. There must be
	// enough space in the storage: each run checks it before it writes.
	// +optional
	ApplicationBackup *Backup `json:"applicationBackup,omitempty"`

	// sessionsBackup says whether and from where session files (recordings of user sessions) are included in the backup
	// too.
	// +optional
	SessionsBackup *Backup `json:"sessionsBackup,omitempty"`

	// storage is the volume that holds backupDirectory. Without it, backupDirectory is on the remote partition.
	// +optional
	Storage *Storage `json:"storage,omitempty"`

	// backupDirectory is the directory in which the backup service stores the files it generates: in storage, or on the
	// remote partition when there is no storage. It is made when it isn't there.
	// +required
	BackupDirectory Directory `json:"backupDirectory,omitempty"`

	// filenamePrefix is what the names of the generated files begin with: <prefix>-20261122T050000Z.tar.zst. Policies
	// may share a directory only under different prefixes. Default: the policy's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$')",message="must be made of letters, digits, '-', '_' and '.', and begin and end with a letter or a digit"
	// +optional
	FilenamePrefix string `json:"filenamePrefix,omitempty"`

	// totalBackups is how many backups are kept. After each success the oldest beyond that number are removed, here and
	// in rsyncDirectory; the newest complete backup is never removed.
	// +kubebuilder:default=7
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	TotalBackups int32 `json:"totalBackups,omitempty"`

	// acceptChange is the file name of a backup whose difference from earlier backups is meant: data was moved or deleted on
	// purpose, for example. While the condition Unusual is True, no complete backup is removed; its message says which name
	// to set here. Later backups are not compared with those before the named one, so the value may stay, in Git for
	// example. Example: appliance-20261122T050000Z.tar.zst.
	// +kubebuilder:validation:MinLength=0
	// +kubebuilder:validation:MaxLength=160
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?-[0-9]{4}(0[1-9]|1[0-2])(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]Z[.]tar[.]zst$') || self.matches('^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?-[0-9]{4}((0[13578]|1[02])(29|30|31)|(0[469]|11)(29|30)|0229)T([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]Z[.]tar[.]zst$')",message="must be the file name of a backup, such as appliance-20261122T050000Z.tar.zst"
	// +optional
	AcceptChange string `json:"acceptChange,omitempty"` //nolint:kubeapilinter // Empty is like none.

	// fileBackupMode is RSYNC to synchronize the backups to rsyncDirectory with rsync, or Archive to leave them in
	// backupDirectory only.
	// +kubebuilder:default=Archive
	// +optional
	FileBackupMode FileBackupMode `json:"fileBackupMode,omitempty"`

	// rsyncDirectory is the directory to which the backups are synchronized with rsync: on the remote partition when
	// one is mounted, else in storage. It is made when it isn't there. Needed for fileBackupMode RSYNC, ignored
	// otherwise.
	// +optional
	RsyncDirectory Directory `json:"rsyncDirectory,omitempty"`

	// remotePartition is an external storage that is mounted for each run.
	// +optional
	RemotePartition *RemotePartition `json:"remotePartition,omitempty"`

	// job is what the pods of the backups need besides: resources, placement, security context, deadlines, dumps.
	// +optional
	Job *JobTemplate `json:"job,omitempty"`
}

// BackupPolicy turns an appliance's backup settings into backups that run by themselves: complete archives that
// tar --zstd reads, kept to a number, and synchronized to a remote partition.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=backuppolicies,shortName=bp,categories=all
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.protection.state`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Schedule",type=string,JSONPath=`.status.schedule`
// +kubebuilder:printcolumn:name="Last Run",type=string,JSONPath=`.status.lastRun.outcome`
// +kubebuilder:printcolumn:name="Last Success",type=date,JSONPath=`.status.lastSuccessTime`
// +kubebuilder:printcolumn:name="Backups",type=integer,JSONPath=`.status.backups.count`
// +kubebuilder:printcolumn:name="Synchronized",type=string,JSONPath=`.status.conditions[?(@.type=="Synchronized")].status`
// +kubebuilder:printcolumn:name="Failures",type=integer,JSONPath=`.status.consecutiveFailures`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Next Run",type=string,priority=1,JSONPath=`.status.nextScheduleTime`
// +kubebuilder:printcolumn:name="Bytes",type=integer,priority=1,JSONPath=`.status.lastRun.bytesWritten`
// +kubebuilder:printcolumn:name="New Bytes",type=integer,priority=1,JSONPath=`.status.lastRun.bytesNew`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.protection.message`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 45",message="the policy's name must be at most 45 characters, because its CronJob is named <name>-backup and Kubernetes takes 52 there"
type BackupPolicy struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the backup settings.
	// +required
	Spec BackupPolicySpec `json:"spec,omitzero"`

	// status is what the operator saw last: whether the settings are in force and how the backups fare.
	// +kubebuilder:default={"observedGeneration":-1,"protection":{"state":"NotReady","message":"the operator has not looked at this policy yet"}}
	// +optional
	Status BackupPolicyStatus `json:"status,omitzero"`

	// Undecodable is why the spec, as stored, cannot be decoded. The spec is then empty. Decoding sets it; it is not part of
	// the resource.
	Undecodable string `json:"-"`
}

// BackupPolicyList is a list of BackupPolicy.
//
// +kubebuilder:object:root=true
type BackupPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BackupPolicy `json:"items"`
}
