// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
	"github.com/google/go-cmp/cmp"
)

// bench is a policy on plain directories, with a clock that moves a day with every run.
type bench struct {
	t      *testing.T
	config Config
	now    time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	root := t.TempDir()
	b := &bench{t: t, now: time.Date(2026, 11, 1, 5, 0, 0, 0, time.UTC)}
	b.config = Config{
		Policy: "orbit/appliance", Directory: filepath.Join(root, "backups"), Prefix: "app", Keep: 3, Tool: "test",
		RsyncDirectory: filepath.Join(root, "mirror"),
		Sources: []archive.Source{
			{Name: "data", Path: filepath.Join(root, "data")}, {Name: "logs", Path: filepath.Join(root, "logs")},
		},
	}
	for _, s := range b.config.Sources {
		if err := os.Mkdir(s.Path, 0o700); err != nil {
			t.Fatal(err)
		}
		b.put(filepath.Join(s.Path, "file"), "content of "+s.Name)
	}
	return b
}

func (b *bench) put(path, content string) {
	b.t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// run does a run a day after the previous one.
func (b *bench) run() (report.Report, int) {
	b.t.Helper()
	b.now = b.now.AddDate(0, 0, 1)
	return b.runWith(b.t.Context())
}

func (b *bench) runWith(ctx context.Context) (report.Report, int) {
	b.t.Helper()
	return Run(ctx, b.config, b.environment())
}

func (b *bench) environment() Environment {
	return Environment{
		Log: slog.New(slog.NewTextHandler(testWriter{b.t}, nil)), Now: func() time.Time { return b.now },
	}
}

// want does a run and checks how it ends.
func (b *bench) want(outcome report.Outcome, reason report.Reason, exit int) report.Report {
	b.t.Helper()
	r, got := b.run()
	if r.Outcome != outcome || r.Reason != reason || got != exit {
		b.t.Fatalf("%s, %q, exit status %d (%s); want %s, %q, %d", r.Outcome, r.Reason, got, r.Message, outcome, reason, exit)
	}
	if _, err := report.Encode(r); err != nil {
		b.t.Error(err)
	}
	return r
}

func (b *bench) succeed() report.Report {
	b.t.Helper()
	return b.want(report.Succeeded, "", report.ExitSucceeded)
}

// days draws the backups in a directory, oldest first: the day of the month, with an i behind incomplete ones.
func (b *bench) days(dir string) string {
	b.t.Helper()
	backups, err := catalog.List(dir, "", b.now)
	if err != nil {
		b.t.Fatal(err)
	}
	var days []string
	for i := len(backups) - 1; i >= 0; i-- {
		day := backups[i].Name.Time.Format("2")
		if state := backups[i].State; state != catalog.Complete {
			day += strings.ToLower(string(state[:1]))
		}
		days = append(days, day)
	}
	return strings.Join(days, " ")
}

// holds checks what the backup directory and the mirror hold.
func (b *bench) holds(here, mirror string) {
	b.t.Helper()
	if got := b.days(b.config.Directory); got != here {
		b.t.Errorf("the backup directory holds %q, want %q", got, here)
	}
	if got := b.days(b.config.RsyncDirectory); got != mirror {
		b.t.Errorf("the mirror holds %q, want %q", got, mirror)
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func TestRunsKeepTheNumberHereAndInTheMirror(t *testing.T) {
	b := newBench(t)
	for range 5 {
		b.succeed()
	}
	b.holds("4 5 6", "4 5 6")
	b.config.Keep = 2
	r := b.succeed()
	b.holds("6 7", "6 7")
	made := catalog.Backup{File: "app-20261107T050000Z.tar.zst"}
	want := report.Report{
		Version: 1, Policy: "orbit/appliance", StartTime: b.now, CompletionTime: b.now, Outcome: report.Succeeded,
		Message: r.Message, Archive: r.Archive,
		Sync: &report.Sync{OK: true, BytesSent: r.Archive.BytesWritten + catalog.SidecarBytes(b.config.Directory, made), Backups: 2},
		Backups: &report.Backups{Count: 2, Bytes: r.Backups.Bytes, Newest: []report.Backup{
			{Name: "app-20261107T050000Z.tar.zst", Bytes: r.Archive.BytesWritten},
			{Name: "app-20261106T050000Z.tar.zst", Bytes: r.Backups.Bytes - r.Archive.BytesWritten},
		}},
		Storage: r.Storage,
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if r.Archive.Files != 2 || r.Archive.BytesRead != int64(len("content of datacontent of logs")) || r.Storage.Total <= 0 {
		t.Errorf("figures: %+v, %+v", r.Archive, r.Storage)
	}
}

func TestARetryOfARunGoesOnFromItsArchive(t *testing.T) {
	b := newBench(t)
	b.config.Run = "job-1"
	b.put(b.config.RsyncDirectory, "in the way")
	r := b.want(report.Failed, report.ReasonSyncFailed, report.ExitFailed)
	if r.Archive == nil || r.Sync == nil || r.Sync.OK || r.Sync.Message == "" {
		t.Errorf("reported %+v, %+v", r.Archive, r.Sync)
	}
	if err := os.Remove(b.config.RsyncDirectory); err != nil {
		t.Fatal(err)
	}
	again := b.succeed()
	b.holds("2", "2")
	r.Archive.Reuse = nil // It is of the attempt that made the archive.
	if diff := cmp.Diff(r.Archive, again.Archive); diff != "" {
		t.Errorf("another archive (-first +retry)\n%s", diff)
	}
	b.config.Run = "job-2"
	b.succeed()
	b.holds("2 4", "2 4")
}

func TestARetryOfARunGoesOnFromAnIncompleteArchive(t *testing.T) {
	b := newBench(t)
	b.succeed()
	b.config.Run = "job-1"
	away := b.config.RsyncDirectory + ".away"
	err := errors.Join(os.Remove(filepath.Join(b.config.Sources[0].Path, "file")), os.Rename(b.config.RsyncDirectory, away))
	if err != nil {
		t.Fatal(err)
	}
	b.put(b.config.RsyncDirectory, "in the way")
	for range 3 {
		r := b.want(report.Failed, report.ReasonSyncFailed, report.ExitFailed)
		if r.Archive == nil || r.Archive.Name != "app-20261103T050000Z.tar.zst" || !strings.Contains(r.Message, "is incomplete") {
			t.Errorf("reported %+v, %q", r.Archive, r.Message)
		}
	}
	if got := b.days(b.config.Directory); got != "2 3i" {
		t.Errorf("the backup directory holds %q: the retries made archives of their own", got)
	}
	if err := errors.Join(os.Remove(b.config.RsyncDirectory), os.Rename(away, b.config.RsyncDirectory)); err != nil {
		t.Fatal(err)
	}
	r := b.want(report.Incomplete, report.ReasonSourceEmpty, report.ExitIncomplete)
	if r.Sync == nil || !r.Sync.OK || !strings.Contains(r.Message, "data") {
		t.Errorf("reported %+v, %q", r.Sync, r.Message)
	}
	b.holds("2 3i", "2 3i")
	b.config.Run = "job-2"
	b.want(report.Incomplete, report.ReasonSourceEmpty, report.ExitIncomplete)
	b.holds("2 3i 7i", "2 3i 7i")
}

func TestAnArchiveWhoseNameIsNotFlushedIsThereAndRemovesNothing(t *testing.T) {
	b := newBench(t)
	b.config.Keep = 1
	b.succeed()
	b.config.Run = "job-1"
	b.now = b.now.AddDate(0, 0, 1)
	r := newRun(b.config, b.environment())
	r.commit = func(pending *catalog.NewBackup) error {
		return errors.Join(pending.Commit(), catalog.ErrNotFlushed)
	}
	got, exit := r.do(t.Context())
	if got.Outcome != report.Failed || got.Reason != report.ReasonArchiveFailed || exit != report.ExitFailed {
		t.Errorf("%s, %s, exit status %d", got.Outcome, got.Reason, exit)
	}
	if got.Archive == nil || strings.Contains(got.Message, "nothing is left") || !strings.Contains(got.Message, "could not be flushed") {
		t.Errorf("reported %+v, %q", got.Archive, got.Message)
	}
	b.holds("2 3", "2")
	b.succeed()
	b.holds("3", "3")
}

func TestAMirrorThatIsAwayNeitherFillsTheDiskNorLosesAnything(t *testing.T) {
	b := newBench(t)
	for range 3 {
		b.succeed()
	}
	away := b.config.RsyncDirectory + ".away"
	if err := os.Rename(b.config.RsyncDirectory, away); err != nil {
		t.Fatal(err)
	}
	b.put(b.config.RsyncDirectory, "in the way")
	for range 4 {
		b.want(report.Failed, report.ReasonSyncFailed, report.ExitFailed)
	}
	if got := b.days(b.config.Directory); got != "6 7 8" {
		t.Errorf("the backup directory holds %q", got)
	}
	if got := b.days(away); got != "2 3 4" {
		t.Errorf("the mirror holds %q", got)
	}
	if err := errors.Join(os.Remove(b.config.RsyncDirectory), os.Rename(away, b.config.RsyncDirectory)); err != nil {
		t.Fatal(err)
	}
	b.succeed()
	b.holds("7 8 9", "7 8 9")
}

func TestAnEmptyBackupDirectoryDoesNotEmptyTheMirror(t *testing.T) {
	b := newBench(t)
	for range 3 {
		b.succeed()
	}
	if err := os.RemoveAll(b.config.Directory); err != nil {
		t.Fatal(err)
	}
	b.succeed()
	b.holds("5", "3 4 5")
}

func TestWhatIsInTheWayInTheMirrorIsNotReplaced(t *testing.T) {
	b := newBench(t)
	b.succeed()
	there := filepath.Join(b.config.RsyncDirectory, "app-20261102T050000Z.tar.zst")
	b.put(there, "a stranger's")
	r := b.want(report.Failed, report.ReasonSyncFailed, report.ExitFailed)
	if content, _ := os.ReadFile(there); string(content) != "a stranger's" {
		t.Errorf("it is %q now", content)
	}
	if !strings.Contains(r.Message, filepath.Base(there)) || !strings.Contains(r.Message, report.VolumeShell) {
		t.Errorf("reported %q", r.Message)
	}
	if err := os.Remove(there); err != nil {
		t.Fatal(err)
	}
	b.succeed()
	b.holds("2 3 4", "2 3 4")
}

func TestASyncThatStandsStillFailsAndLeavesTheMirrorAlone(t *testing.T) {
	b := newBench(t)
	b.succeed()
	b.config.SyncTimeout = 100 * time.Millisecond
	r := newRun(b.config, b.environment())
	command := filepath.Join(t.TempDir(), "rsync")
	b.put(command, "#!/bin/sh\nif [ \"$1\" = --version ]; then exit; fi\n"+
		"for last; do :; done; echo partial > \"$last/.app.partial/half\"; exit 30\n")
	if err := os.Chmod(command, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(command)+":"+os.Getenv("PATH"))
	got, exit := r.do(t.Context())
	if got.Reason != report.ReasonSyncFailed || exit != report.ExitFailed || !strings.Contains(got.Message, "nothing moved for too long") {
		t.Errorf("%s, exit status %d: %s", got.Reason, exit, got.Message)
	}
	// It wasn't so much as looked at again: that may take for ever.
	half := filepath.Join(b.config.RsyncDirectory, ".app.partial", "half")
	if _, err := os.Stat(half); err != nil || got.Sync.Backups != 0 {
		t.Errorf("the mirror was touched: %v, %+v", err, got.Sync)
	}
}

func TestARunThatIsStoppedLeavesNothing(t *testing.T) {
	b := newBench(t)
	b.succeed()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.now = b.now.AddDate(0, 0, 1)
	r, exit := b.runWith(ctx)
	if r.Outcome != report.Failed || r.Reason != report.ReasonInterrupted || exit != report.ExitFailed {
		t.Errorf("%s, %s, exit status %d", r.Outcome, r.Reason, exit)
	}
	b.holds("2", "2")
}

func TestProgressSaysWhatIsLeft(t *testing.T) {
	got := progressAttributes(archive.Progress{Source: "data", Files: 1, BytesRead: 250, BytesWritten: 100},
		archive.Measurement{Files: 4, Bytes: 1000}, 10*time.Second)
	want := []any{
		"source", "data", "files", int64(1), "ofFiles", int64(4), "bytes", int64(250), "ofBytes", int64(1000), "written", int64(100),
		"percent", int64(25), "bytesPerSecond", int64(25), "left", 30 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	progressAttributes(archive.Progress{}, archive.Measurement{}, 0) // Nothing to divide by.
}
