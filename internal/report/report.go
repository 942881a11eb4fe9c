// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package report is what a run says when it ends and the operator reads.
//
// A runner pod has no Kubernetes credentials. Its one way to speak to the operator is the termination message: a file
// of at most 4 KiB that the kubelet copies into the pod's status. A Report is that file's content, as JSON. Both sides
// import this package and nothing of each other, so it is the whole contract between them.
package report

import "time"

// Version is the version of the report's format that this package writes.
const Version = 1

// Outcome is how a run ended.
type Outcome string

const (
	// Succeeded means that a complete archive was made and, when asked for, synchronized.
	Succeeded Outcome = "Succeeded"
	// Incomplete means that an archive was made but lacks something that should have been in it.
	// No status may call it a success.
	Incomplete Outcome = "Incomplete"
	// Failed means that the run did not do what it was asked to. An archive may still have been made: see
	// Report.Archive.
	Failed Outcome = "Failed"
)

// Reason says in one CamelCase word why a run did not succeed. Reasons become reasons of conditions.
type Reason string

const (
	// ReasonInvalidSettings means that the command line cannot work as it is: a retry cannot help.
	ReasonInvalidSettings Reason = "InvalidSettings"
	// ReasonLocked means that another run held the directory's lock for longer than this one was willing to wait.
	ReasonLocked Reason = "Locked"
	// ReasonDirectoryOwned means that the directory and prefix belong to another policy.
	ReasonDirectoryOwned Reason = "DirectoryOwned"
	// ReasonDirectoryNotWritable means that the write test in a directory failed.
	ReasonDirectoryNotWritable Reason = "DirectoryNotWritable"
	// ReasonSourceMissing means that a source is not there or is not a directory.
	ReasonSourceMissing Reason = "SourceMissing"
	// ReasonNotEnoughSpace means that the storage has, or had when it was needed, too little space.
	ReasonNotEnoughSpace Reason = "NotEnoughSpace"
	// ReasonArchiveFailed means that the archive could not be written.
	ReasonArchiveFailed Reason = "ArchiveFailed"
	// ReasonFilesUnreadable means that files could not be read: the archive is incomplete.
	ReasonFilesUnreadable Reason = "FilesUnreadable"
	// ReasonSourceEmpty means that a source that held files in the previous backup is empty now: the archive is
	// incomplete, because a volume that is not mounted looks just like this.
	ReasonSourceEmpty Reason = "SourceEmpty"
	// ReasonSyncFailed means that the archive is good but could not be synchronized.
	ReasonSyncFailed Reason = "SyncFailed"
	// ReasonPruneFailed means that the archive is good but old backups could not be removed.
	ReasonPruneFailed Reason = "PruneFailed"
	// ReasonInterrupted means that the run was told to stop (SIGTERM) before it was done.
	ReasonInterrupted Reason = "Interrupted"
)

// Report is what one run says of itself. Every string in it may be shown to people. The tag "check" of a string names its
// rule in stringRules.
type Report struct {
	// Version is the version of this format, 1.
	Version int `json:"version"`
	// Policy is the policy that ran, as namespace/name.
	Policy string `json:"policy,omitempty" check:"text"`
	// Run is the run's own name, in Kubernetes the Job's.
	Run string `json:"run,omitempty" check:"text"`
	// StartTime is when the run began.
	StartTime time.Time `json:"startTime,omitzero"`
	// CompletionTime is when the run ended.
	CompletionTime time.Time `json:"completionTime,omitzero"`
	// Outcome is how it ended.
	Outcome Outcome `json:"outcome" check:"word"`
	// Reason is empty for a run that succeeded.
	Reason Reason `json:"reason,omitempty" check:"word"`
	// Message tells a person what happened and, unless all is well, what to do.
	Message string `json:"message" check:"text"`
	// Archive is the archive that was made; nil if none was.
	Archive *Archive `json:"archive,omitempty"`
	// Findings are what an administrator should know of the directories and archives that the run saw, although the run
	// may have succeeded.
	Findings []Finding `json:"findings,omitempty"`
	// Warnings are what went on while files were read.
	Warnings *Warnings `json:"warnings,omitempty"`
	// Sync is how the synchronization went; nil if it was not reached or not asked for.
	Sync *Sync `json:"sync,omitempty"`
	// Backups are the backups of this policy that the backup directory holds after the run.
	Backups *Backups `json:"backups,omitempty"`
	// Storage is the space of the file system that holds the backup directory, after the run.
	Storage *Space `json:"storage,omitempty"`
}

// Archive tells of an archive.
type Archive struct {
	// Name is the file's name in the backup directory.
	Name string `json:"name" check:"name"`
	// BytesRead is how many bytes of file content are in it, read in this run or known to be unchanged.
	BytesRead int64 `json:"bytesRead"`
	// BytesWritten is the archive's size.
	BytesWritten int64 `json:"bytesWritten"`
	// Files is how many regular files are in it.
	Files int64 `json:"files"`
	// Reuse tells how much of it the run took over from an earlier archive, and how much it made anew. It is nil if
	// that isn't known: the run found the archive, which an earlier attempt had made.
	Reuse *Reuse `json:"reuse,omitempty"`
}

// Reuse tells what became of an archive's bytes: BytesWritten is, but for a few KiB of what the archive says about
// itself, ReusedBytes and NewBytes together.
type Reuse struct {
	// Previous is the file name of the archive that was there to reuse from; empty if there was none, or none that could
	// be used.
	Previous string `json:"previous,omitempty" check:"name"`
	// Method is how what is reused came into the archive; empty if nothing is.
	Method ReuseMethod `json:"method,omitempty" check:"word"`
	// ReusedBytes is how many of the archive's bytes were taken over from the previous one.
	ReusedBytes int64 `json:"reusedBytes"`
	// SharedBytes is how many of those take no space of their own: both archives hold them in the same blocks of the disk.
	SharedBytes int64 `json:"sharedBytes"`
	// NewBytes is how many of the archive's bytes were made from the sources.
	NewBytes int64 `json:"newBytes"`
	// VerifiedBytes is how many bytes of the previous archive the run read and found to be as they were written. Every run
	// checks a share of what it reuses, so that within a set number of runs all of it is.
	VerifiedBytes int64 `json:"verifiedBytes"`
	// DamagedFrames is how many pieces of the previous archive turned out not to be what was written there; 1 if the
	// archive had to be given up as a whole. They were made anew from the sources: the new archive is whole, the previous
	// one is not.
	DamagedFrames int64 `json:"damagedFrames,omitempty"`
}

// ReuseMethod is a way for bytes to get from one archive into the next.
type ReuseMethod string

const (
	// ReuseReflink means that both archives share the blocks on the disk, as XFS and Btrfs can.
	ReuseReflink ReuseMethod = "reflink"
	// ReuseServerCopy means that the server of a network file system copied the bytes.
	ReuseServerCopy ReuseMethod = "serverCopy"
	// ReuseCopy means that the run read and wrote the bytes.
	ReuseCopy ReuseMethod = "copy"
)

// FindingReason is the kind of a finding, in CamelCase. A newer runner may know kinds that an older operator doesn't.
type FindingReason string

const (
	// FindingArchiveDamaged means that an earlier archive is no longer what was written. The run's own archive is whole.
	FindingArchiveDamaged FindingReason = "ArchiveDamaged"
	// FindingClockSkew means that archives are named for times that have yet to come: the clock was ahead, or is behind.
	FindingClockSkew FindingReason = "ClockSkew"
	// FindingBackupsLeftBehind means that the policy has archives with another prefix, which no run removes.
	FindingBackupsLeftBehind FindingReason = "BackupsLeftBehind"
)

// FindingMirrorDamaged means that a copy in the mirror was no longer what was sent there, and has been sent again.
const FindingMirrorDamaged FindingReason = "MirrorDamaged"

// What is unusual about a backup, compared with those before it.
const (
	// FindingSourceShrank means that a source lost most of its files or of their content.
	FindingSourceShrank FindingReason = "SourceShrank"
	// FindingFileSystemMissing means that a file system that was mounted in a source, or as the source, is not any more.
	FindingFileSystemMissing FindingReason = "FileSystemMissing"
	// FindingNothingBackedUp means that the backup holds no files, and none before it did.
	FindingNothingBackedUp FindingReason = "NothingBackedUp"
)

// Unusual reports whether findings of this kind say that a backup is unusual.
func (r FindingReason) Unusual() bool {
	switch r {
	case FindingSourceShrank, FindingFileSystemMissing, FindingNothingBackedUp:
		return true
	default:
		return false
	}
}

// Finding is one thing that a run found.
type Finding struct {
	// Reason is its kind.
	Reason FindingReason `json:"reason" check:"word"`
	// Message states what was found and what to do about it.
	Message string `json:"message" check:"text"`
}

// Warnings counts what was worth telling of the files that were read, with the first few of them in words.
type Warnings struct {
	// Count is how many there were.
	Count int64 `json:"count"`
	// First are the first few, each a sentence.
	First []string `json:"first,omitempty" check:"text"`
}

// Sync tells of a synchronization.
type Sync struct {
	// OK says that everything retained is in the rsync directory.
	OK bool `json:"ok"`
	// BytesSent is how many bytes rsync transferred.
	BytesSent int64 `json:"bytesSent"`
	// Backups is how many backups of this policy the rsync directory holds.
	Backups int `json:"backups"`
	// Message says what went wrong and what to do; empty when OK.
	Message string `json:"message,omitempty" check:"text"`
}

// Backups sums up what a directory holds.
type Backups struct {
	// Count is how many there are.
	Count int `json:"count"`
	// Bytes is their size together.
	Bytes int64 `json:"bytes"`
	// Newest are the newest of them, newest first; as many as fit.
	Newest []Backup `json:"newest,omitempty"`
}

// Backup is one backup in a directory.
type Backup struct {
	// Name is the archive's file name.
	Name string `json:"name" check:"name"`
	// Bytes is the archive's size.
	Bytes int64 `json:"bytes"`
	// Incomplete says that the archive lacks something.
	Incomplete bool `json:"incomplete,omitempty"`
}

// Space is the space of a file system, in bytes.
type Space struct {
	// Free is what an ordinary user may still write.
	Free int64 `json:"free"`
	// Total is its size.
	Total int64 `json:"total"`
}
