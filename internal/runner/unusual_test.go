// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
)

// fill gives the bench's first source the files of an appliance, and drop takes them away, as if the volume weren't
// mounted and somebody had put a placeholder there.
func (b *bench) fill() {
	b.t.Helper()
	for i := range 3 {
		b.put(filepath.Join(b.config.Sources[0].Path, fmt.Sprintf("database-%d", i)), strings.Repeat("content ", 128<<10))
	}
}

func (b *bench) drop() {
	b.t.Helper()
	data := b.config.Sources[0].Path
	if err := errors.Join(os.RemoveAll(data), os.Mkdir(data, 0o700)); err != nil {
		b.t.Fatal(err)
	}
	b.put(filepath.Join(data, "NOT-MOUNTED"), "placeholder")
}

// wantFinding checks that a report has this one finding, or none.
func (b *bench) wantFinding(r report.Report, reason report.FindingReason, words ...string) {
	b.t.Helper()
	if reason == "" {
		if len(r.Findings) > 0 {
			b.t.Errorf("found %+v, want nothing", r.Findings)
		}
		return
	}
	if len(r.Findings) != 1 || r.Findings[0].Reason != reason {
		b.t.Fatalf("found %+v, want one %s", r.Findings, reason)
	}
	for _, word := range words {
		if !strings.Contains(r.Findings[0].Message, word) {
			b.t.Errorf("%q doesn't say %q", r.Findings[0].Message, word)
		}
	}
}

// TestASteepDropKeepsTheBackupsFromBefore until enough backups show the same, here and in the mirror.
func TestASteepDropKeepsTheBackupsFromBefore(t *testing.T) {
	b := newBench(t)
	b.fill()
	for range 4 {
		b.wantFinding(b.succeed(), "")
	}
	b.holds("3 4 5", "3 4 5")
	b.drop()
	b.wantFinding(b.succeed(), report.FindingSourceShrank,
		"data shrank", "4 files of 3.0 MiB in app-20261105T050000Z.tar.zst", "1 file of 11 B", "3 more backups",
		"acceptChange (--accept-change) is set to app-20261106T050000Z.tar.zst")
	b.wantFinding(b.succeed(), report.FindingSourceShrank, "2 more backups")
	b.wantFinding(b.succeed(), report.FindingSourceShrank, "1 more backup shows")
	b.holds("3 4 5 6 7 8", "3 4 5 6 7 8")
	b.wantFinding(b.succeed(), "")
	b.holds("7 8 9", "7 8 9")
}

func TestADropThatIsMendedIsForgotten(t *testing.T) {
	b := newBench(t)
	b.fill()
	for range 3 {
		b.succeed()
	}
	b.drop()
	b.wantFinding(b.succeed(), report.FindingSourceShrank)
	b.fill()
	b.put(filepath.Join(b.config.Sources[0].Path, "file"), "again")
	b.wantFinding(b.succeed(), "")
	b.holds("4 5 6", "4 5 6")
}

// TestAnAcceptedChangeResumesPruning, and the setting may stay: the next drop is found again.
func TestAnAcceptedChangeResumesPruning(t *testing.T) {
	b := newBench(t)
	b.fill()
	for range 3 {
		b.succeed()
	}
	b.drop()
	unusual := b.succeed()
	b.holds("2 3 4 5", "2 3 4 5")
	b.config.AcceptChange = unusual.Archive.Name
	b.wantFinding(b.succeed(), "")
	b.holds("4 5 6", "4 5 6")
	b.fill()
	for range 3 {
		b.wantFinding(b.succeed(), "")
	}
	b.holds("7 8 9", "7 8 9")
	b.drop()
	b.wantFinding(b.succeed(), report.FindingSourceShrank)
	b.holds("7 8 9 10", "7 8 9 10")
}

// TestABackupThatIsYetToComeIsNotAccepted: a slip of the pen must not switch the comparison off.
func TestABackupThatIsYetToComeIsNotAccepted(t *testing.T) {
	b := newBench(t)
	b.config.AcceptChange = "app-20991122T050000Z.tar.zst"
	b.fill()
	b.succeed()
	b.drop()
	b.wantFinding(b.succeed(), report.FindingSourceShrank)
}

func TestARetryStillPauses(t *testing.T) {
	b := newBench(t)
	b.fill()
	for range 3 {
		b.succeed()
	}
	b.drop()
	b.config.Run = "job-1"
	away := b.config.RsyncDirectory + ".away"
	if err := os.Rename(b.config.RsyncDirectory, away); err != nil {
		t.Fatal(err)
	}
	b.put(b.config.RsyncDirectory, "in the way")
	b.wantFinding(b.want(report.Failed, report.ReasonSyncFailed, report.ExitFailed), report.FindingSourceShrank)
	if err := errors.Join(os.Remove(b.config.RsyncDirectory), os.Rename(away, b.config.RsyncDirectory)); err != nil {
		t.Fatal(err)
	}
	b.wantFinding(b.succeed(), report.FindingSourceShrank)
	b.holds("2 3 4 5", "2 3 4 5")
}

// TestTheMirrorRemembersWhatThereWas: where a source isn't mounted, the backup directory may not be either.
func TestTheMirrorRemembersWhatThereWas(t *testing.T) {
	b := newBench(t)
	b.fill()
	for range 3 {
		b.succeed()
	}
	b.drop()
	if err := os.RemoveAll(b.config.Directory); err != nil {
		t.Fatal(err)
	}
	b.wantFinding(b.succeed(), report.FindingSourceShrank)
	b.wantFinding(b.succeed(), report.FindingSourceShrank)
	b.holds("5 6", "2 3 4 5 6")
}

func TestAFirstBackupOfNothingIsReported(t *testing.T) {
	b := newBench(t)
	for _, s := range b.config.Sources {
		if err := os.Remove(filepath.Join(s.Path, "file")); err != nil {
			t.Fatal(err)
		}
	}
	first := b.succeed()
	b.wantFinding(first, report.FindingNothingBackedUp, "holds no files", "set acceptChange (--accept-change) to "+first.Archive.Name)
	b.wantFinding(b.succeed(), report.FindingNothingBackedUp)
	b.config.AcceptChange = first.Archive.Name
	b.wantFinding(b.succeed(), "")
}

// TestALackOfSpaceSaysThatPruningIsPaused, because that takes space which a person can free.
func TestALackOfSpaceSaysThatPruningIsPaused(t *testing.T) {
	b := newBench(t)
	b.fill()
	for range 2 {
		b.succeed()
	}
	short := func() string {
		r := newRun(b.config, b.environment())
		var err error
		if r.here, err = r.list(r.storage); err != nil {
			t.Fatal(err)
		}
		return r.explainSpace(checkSpace("--directory", b.config.Directory, catalog.Space{Free: 1}, 2)).Error()
	}
	if text := short(); strings.Contains(text, "acceptChange") {
		t.Errorf("nothing is paused, and it says %q", text)
	}
	b.drop()
	unusual := b.succeed()
	for _, words := range []string{"older backups take space because data shrank", "set to " + unusual.Archive.Name} {
		if text := short(); !strings.Contains(text, words) {
			t.Errorf("%q doesn't say %q", text, words)
		}
	}
}

func TestAcceptChangeTakesTheNameOfABackup(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"yes", "app-20261122T050000Z", "backups/app-20261122T050000Z.tar.zst"} {
		b.config.AcceptChange = name
		r := b.want(report.Failed, report.ReasonInvalidSettings, report.ExitInvalid)
		if !strings.Contains(r.Message, "--accept-change") {
			t.Errorf("it says %q", r.Message)
		}
	}
	// A policy that was renamed since keeps its setting.
	b.config.AcceptChange = "earlier-prefix-20251122T050000Z.tar.zst"
	b.succeed()
}
