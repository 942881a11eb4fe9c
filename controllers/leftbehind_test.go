// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"strings"
	"testing"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/report"
)

// leftBehindBetween are the messages of what was left behind between two statuses.
func leftBehindBetween(before, after *backupv1alpha1.BackupPolicyStatus) []string {
	var messages []string
	for _, n := range newsBetween(before, after) {
		if n.reason == backupv1alpha1.ReasonBackupsLeftBehind {
			messages = append(messages, n.message)
		}
	}
	return messages
}

func TestBackupsThatNewSettingsLeaveBehindAreReportedOnce(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*backupv1alpha1.BackupPolicySpec)
		want   []string
	}{
		"nothing":        {func(*backupv1alpha1.BackupPolicySpec) {}, nil},
		"the schedule":   {func(s *backupv1alpha1.BackupPolicySpec) { s.Schedule = "1 2 * * *" }, nil},
		"filenamePrefix": {func(s *backupv1alpha1.BackupPolicySpec) { s.FilenamePrefix = "other" }, nil},
		"backupDirectory": {func(s *backupv1alpha1.BackupPolicySpec) { s.BackupDirectory = "/weekly" },
			[]string{"the 2 backups in /daily in the claim backups any more"}},
		"storage": {func(s *backupv1alpha1.BackupPolicySpec) {
			s.Storage.PersistentVolumeClaim.ClaimName = "bigger"
		}, []string{"the 2 backups in /daily in the claim backups any more", "the synchronized backups in /mirror in the claim backups"}},
		"rsyncDirectory": {func(s *backupv1alpha1.BackupPolicySpec) { s.RsyncDirectory = "/other" },
			[]string{"the synchronized backups in /mirror in the claim backups"}},
	} {
		t.Run(name, func(t *testing.T) {
			policy := mirrorPolicy()
			policy.Spec.BackupDirectory = "/daily"
			past := newPastRuns(t).of(policy)
			past.succeeded("run-1", 1)
			next := func() []string {
				before := policy.Status.DeepCopy()
				return leftBehindBetween(before, statusOf(t, policy, past.seen))
			}
			if got := next(); got != nil {
				t.Fatalf("told %q of a new policy", got)
			}
			test.change(&policy.Spec)
			policy.Generation++
			got := next()
			if len(got) != len(test.want) {
				t.Fatalf("told %q, want %q", got, test.want)
			}
			for i, want := range test.want {
				if !strings.Contains(got[i], want) || !strings.Contains(got[i], report.VolumeShell) {
					t.Errorf("%q doesn't say %q", got[i], want)
				}
			}
			if again := next(); again != nil {
				t.Errorf("told again: %q", again)
			}
		})
	}
}

// TestADirectoryThatNoRunWorkedInLeavesNothingBehind though the status still counts what an earlier one holds.
func TestADirectoryThatNoRunWorkedInLeavesNothingBehind(t *testing.T) {
	policy := mirrorPolicy()
	past := newPastRuns(t).of(policy)
	past.succeeded("run-1", 1)
	statusOf(t, policy, past.seen)
	for _, directory := range []backupv1alpha1.Directory{"/second", "/third"} {
		policy.Spec.BackupDirectory = directory
		before := policy.Status.DeepCopy()
		told := leftBehindBetween(before, statusOf(t, policy, past.seen))
		if want := directory == "/second"; (len(told) == 1) != want {
			t.Errorf("with %s, told %q", directory, told)
		}
	}
}

func TestArchivesWithAnotherPrefixAreOneEventUntilTheyChange(t *testing.T) {
	run := func(uid string, messages ...string) *backupv1alpha1.BackupPolicyStatus {
		r := &backupv1alpha1.Run{JobUID: uid}
		for _, m := range messages {
			r.Findings = append(r.Findings, backupv1alpha1.Finding{Reason: string(report.FindingBackupsLeftBehind), Message: m})
		}
		return &backupv1alpha1.BackupPolicyStatus{LastRun: r}
	}
	for _, test := range []struct {
		before, after *backupv1alpha1.BackupPolicyStatus
		want          []string
	}{
		{run("1"), run("2", "3 named old-*"), []string{": 3 named old-*"}},
		{run("1", "3 named old-*"), run("2", "3 named old-*"), nil},
		{run("1", "3 named old-*"), run("2", "2 named old-*"), []string{": 2 named old-*"}},
		{&backupv1alpha1.BackupPolicyStatus{}, run("1", "3 named old-*"), []string{": 3 named old-*"}},
	} {
		if got := leftBehindBetween(test.before, test.after); !slices.Equal(got, test.want) {
			t.Errorf("told %q, want %q", got, test.want)
		}
	}
}
