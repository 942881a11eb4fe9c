// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"

	"appliance.io/backup-operator/internal/report"
)

func TestMessagesUseTheNamesOfTheSettings(t *testing.T) {
	for message, want := range map[string]string{
		"--directory /storage/small has not enough space":              "backupDirectory /small has not enough space",
		"--directory /storage: read-only file system":                  "backupDirectory /: read-only file system",
		"--directory /storage":                                         "backupDirectory /",
		"--rsync-directory /remote/a b: stat /remote/a b: stale":       "rsyncDirectory /a b: stat /a b: stale",
		"--rsync-directory: open /remote/mirror/.x: permission denied": "rsyncDirectory: open /mirror/.x: permission denied",
		"--source data=/sources/data: no such file":                    "the volume data: no such file",
		"--source data.v2=/sources/data.v2 is not a directory":         "the volume data.v2 is not a directory",
		"lstat /sources/data/etc/storage/x: input/output error":        "lstat data/etc/storage/x: input/output error",
		"data/--directory: unreadable":                                 "data/--directory: unreadable",
		"data/storage/x: unreadable":                                   "data/storage/x: unreadable",
		"--keep 0: keep at least 1 backup":                             "totalBackups 0: keep at least 1 backup",
		"rsync --temp-dir=/remote/mirror/.receiving failed":            "rsync --temp-dir=/mirror/.receiving failed",
		"app-20261122T050000Z.tar.zst holds 3 files":                   "app-20261122T050000Z.tar.zst holds 3 files",
		"the archive can't be written to /storage2/x":                  "the archive can't be written to /storage2/x",
		`"/storage/daily" and "/storage/daily/mirror" are not apart`:   `"/daily" and "/daily/mirror" are not apart`,
	} {
		if got := inSettings(message); got != want {
			t.Errorf("%q becomes %q, want %q", message, got, want)
		}
	}
}

// TestTheStatusSpeaksOfSettings, in everything that a run reports.
func TestTheStatusSpeaksOfSettings(t *testing.T) {
	policy, past, said := rsyncPolicy(), newPastRuns(t), good()
	said.Outcome, said.Reason, said.Message = report.Failed, report.ReasonSyncFailed, "--directory /storage/daily is fine"
	said.Sync = &report.Sync{Message: "--rsync-directory /remote/mirror is full"}
	said.Findings = []report.Finding{{Reason: report.FindingArchiveDamaged, Message: "check --directory /storage/daily"}}
	said.Warnings = &report.Warnings{Count: 1, First: []string{"/sources/data/x: vanished"}}
	past.reported(past.job("run-1", 1, batchv1.JobFailed, "BackoffLimitExceeded"), said)
	status := statusOf(t, policy, past.seen)
	run := status.LastRun
	all := []string{run.Message, run.Findings[0].Message, run.WarningMessages[0]}
	for _, c := range status.Conditions {
		all = append(all, c.Message)
	}
	for _, text := range all {
		if strings.Contains(text, "--") || strings.Contains(text, "/storage") || strings.Contains(text, "/remote") ||
			strings.Contains(text, "/sources") {
			t.Errorf("%q speaks of the pod's inside", text)
		}
	}
}
