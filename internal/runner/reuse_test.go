// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestWhichArchiveIsReused(t *testing.T) {
	const own = "orbit/appliance"
	backup := func(file, policy string, state catalog.State, format int, sources ...archive.SourceSummary) catalog.Backup {
		return catalog.Backup{
			File: file, State: state, Header: archive.Header{Policy: policy, Format: format},
			Summary: archive.Summary{Sources: sources},
		}
	}
	emptied := archive.SourceSummary{Name: "data", Emptied: true}
	for _, test := range []struct {
		name    string
		backups []catalog.Backup // Newest first.
		want    string
	}{
		{"there is none", nil, ""},
		{"the newest", []catalog.Backup{
			backup("b", own, catalog.Complete, archive.Format), backup("a", own, catalog.Complete, archive.Format),
		}, "b"},
		{"an incomplete one too", []catalog.Backup{
			backup("b", own, catalog.Incomplete, archive.Format), backup("a", own, catalog.Complete, archive.Format),
		}, "b"},
		{"not one that found a source empty", []catalog.Backup{
			backup("c", own, catalog.Incomplete, archive.Format, emptied),
			backup("b", own, catalog.Incomplete, archive.Format, emptied), backup("a", own, catalog.Complete, archive.Format),
		}, "a"},
		{"unless there is no other", []catalog.Backup{
			backup("b", own, catalog.Incomplete, archive.Format, emptied),
			backup("a", own, catalog.Incomplete, archive.Format, emptied),
		}, "b"},
		{"of another policy, damaged, a stranger's, of an earlier format", []catalog.Backup{
			backup("d", "other/policy", catalog.Complete, archive.Format), backup("c", own, catalog.Damaged, archive.Format),
			backup("b", own, catalog.Foreign, archive.Format), backup("a", own, catalog.Complete, archive.Format-1),
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := reusable(test.backups, own)
			if got.File != test.want || ok != (test.want != "") {
				t.Errorf("%q, %t; want %q", got.File, ok, test.want)
			}
		})
	}
}

func TestReuseInWords(t *testing.T) {
	for _, test := range []struct {
		reuse *report.Reuse
		want  string
	}{
		{nil, ""},
		{&report.Reuse{NewBytes: 5}, ", all of it new"},
		{&report.Reuse{Previous: "a", NewBytes: 5, DamagedFrames: 1}, ", all of it new"},
		{&report.Reuse{Previous: "a", Method: report.ReuseReflink, NewBytes: 1 << 10, ReusedBytes: 3 << 20, SharedBytes: 3 << 20},
			": 1.0 KiB are new, 3.0 MiB are reused from a, taking no space of their own"},
		{&report.Reuse{Previous: "a", Method: report.ReuseReflink, NewBytes: 1 << 10, ReusedBytes: 3 << 20, SharedBytes: 2 << 20},
			": 1.0 KiB are new, 3.0 MiB are reused from a, of which 2.0 MiB take no space of their own"},
		{&report.Reuse{Previous: "a", Method: report.ReuseServerCopy, NewBytes: 1 << 10, ReusedBytes: 3 << 20},
			": 1.0 KiB are new, 3.0 MiB are reused from a, copied by the server"},
		{&report.Reuse{Previous: "a", Method: report.ReuseCopy, NewBytes: 0, ReusedBytes: 3 << 20},
			": 0 B are new, 3.0 MiB are reused from a, copied"},
	} {
		if got := describeReuse(test.reuse); got != test.want {
			t.Errorf("%+v: %q, want %q", test.reuse, got, test.want)
		}
	}
}

// sizable gives the bench files that don't compress, so that the archive is of some size.
func (b *bench) sizable(files int) {
	b.t.Helper()
	random := rand.NewChaCha8([32]byte{})
	content := make([]byte, 40<<10)
	for i := range files {
		_, _ = random.Read(content)
		b.put(filepath.Join(b.config.Sources[0].Path, fmt.Sprintf("sizable-%d", i)), string(content))
	}
}

func TestASecondRunReusesTheFirstOnesArchive(t *testing.T) {
	b := newBench(t)
	b.sizable(100)
	first := b.succeed()
	if reuse := first.Archive.Reuse; reuse == nil || reuse.Previous != "" || reuse.ReusedBytes != 0 || reuse.NewBytes == 0 ||
		!strings.Contains(first.Message, "all of it new") {
		t.Errorf("the first run reports %+v, %q", reuse, first.Message)
	}
	second := b.succeed()
	reuse := second.Archive.Reuse
	if reuse == nil || reuse.Previous != first.Archive.Name || reuse.Method == "" || reuse.ReusedBytes < first.Archive.BytesWritten/2 {
		t.Errorf("the second run reports %+v of %d bytes", reuse, second.Archive.BytesWritten)
	}
	if !strings.Contains(second.Message, "reused from "+first.Archive.Name) {
		t.Errorf("the second run says %q", second.Message)
	}
	b.sameContent(first.Archive.Name, second.Archive.Name)

	b.config.NoReuse = true
	third := b.succeed()
	if reuse := third.Archive.Reuse; reuse.Previous != "" || reuse.ReusedBytes != 0 {
		t.Errorf("told to reuse nothing, it reports %+v", reuse)
	}
	b.sameContent(first.Archive.Name, third.Archive.Name)
}

// sameContent checks that two archives hold the same tar stream.
func (b *bench) sameContent(one, other string) {
	b.t.Helper()
	one, other = filepath.Join(b.config.Directory, one), filepath.Join(b.config.Directory, other)
	cmd := exec.Command("bash", "-c", `cmp <(zstd -dcq "$0") <(zstd -dcq "$1")`, one, other)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Errorf("%v: %s", err, out)
	}
}

// atWarning is a log handler that does something when the archive's first warning is logged.
type atWarning struct {
	slog.Handler
	do func()
}

func (h *atWarning) Handle(ctx context.Context, record slog.Record) error {
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "warning" && h.do != nil {
			do := h.do
			h.do = nil
			do()
		}
		return true
	})
	return h.Handler.Handle(ctx, record)
}

// findings are a report's findings, a line each.
func findings(r report.Report) string {
	var lines strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&lines, "%s: %s\n", f.Reason, f.Message)
	}
	return lines.String()
}

// succeedWhileTouched does a run in whose midst, when it comes across a socket, somebody touches an earlier archive.
func (b *bench) succeedWhileTouched(file string) report.Report {
	b.t.Helper()
	if err := unix.Mknod(filepath.Join(b.config.Sources[0].Path, "socket"), unix.S_IFSOCK|0o600, 0); err != nil {
		b.t.Fatal(err)
	}
	b.now = b.now.AddDate(0, 0, 1)
	env, touched := b.environment(), false
	env.Log = slog.New(&atWarning{Handler: env.Log.Handler(), do: func() {
		touched = true
		if err := os.Chtimes(filepath.Join(b.config.Directory, file), time.Time{}, time.Unix(1, 0)); err != nil {
			b.t.Error(err)
		}
	}})
	r, exit := Run(b.t.Context(), b.config, env)
	if r.Outcome != report.Succeeded || exit != report.ExitSucceeded || !touched {
		b.t.Fatalf("%s, %q, touched: %t", r.Outcome, r.Message, touched)
	}
	return r
}

func TestAnArchiveThatChangesWhileItIsReusedIsNotTrusted(t *testing.T) {
	b := newBench(t)
	b.sizable(20)
	first := b.succeed()
	second := b.succeedWhileTouched(first.Archive.Name)
	reuse := second.Archive.Reuse
	if reuse.Previous != first.Archive.Name || reuse.ReusedBytes != 0 || reuse.DamagedFrames != 1 {
		t.Errorf("reported %+v", reuse)
	}
	if second.Warnings == nil || second.Warnings.Count != 1 || !strings.Contains(findings(second), "was changed") {
		t.Errorf("warned %+v, found %+v", second.Warnings, second.Findings)
	}
	b.holds("2 3", "2 3")
	if third := b.succeed(); third.Archive.Reuse.ReusedBytes == 0 || third.Warnings != nil {
		t.Errorf("the run after reports %+v, %+v", third.Archive.Reuse, third.Warnings)
	}
}

func TestDamageInAnEarlierArchiveIsReportedAndNotCarriedOn(t *testing.T) {
	b := newBench(t)
	b.config.VerifyRuns = 1
	b.sizable(100)
	first := b.succeed()
	pristine := filepath.Join(t.TempDir(), "pristine")
	path := filepath.Join(b.config.Directory, first.Archive.Name)
	b.copy(path, pristine)
	b.flip(path, first.Archive.BytesWritten/3)

	second := b.succeed()
	reuse := second.Archive.Reuse
	if reuse.DamagedFrames != 1 || reuse.Previous != first.Archive.Name {
		t.Errorf("reported %+v", reuse)
	}
	for _, word := range []string{first.Archive.Name + " is damaged, or was changed, in the storage", "backup-operator verify"} {
		if !strings.Contains(findings(second), word) {
			t.Errorf("%+v don't mention %q", second.Findings, word)
		}
	}
	if second.Warnings == nil || second.Warnings.Count != 1 || !strings.Contains(second.Warnings.First[0], "damaged") {
		t.Errorf("warned %+v", second.Warnings)
	}
	b.copy(pristine, path)
	b.sameContent(first.Archive.Name, second.Archive.Name)
	if third := b.succeed(); third.Archive.Reuse.DamagedFrames != 0 || third.Warnings != nil {
		t.Errorf("the run after reports %+v, %+v", third.Archive.Reuse, third.Warnings)
	}
}

func TestARetryStillTellsOfTheDamage(t *testing.T) {
	b := newBench(t)
	b.config.VerifyRuns, b.config.Run = 1, "job-1"
	b.sizable(100)
	first := b.succeed()
	b.config.Run = "job-2"
	b.flip(filepath.Join(b.config.Directory, first.Archive.Name), first.Archive.BytesWritten/3)
	away := b.config.RsyncDirectory + ".away"
	if err := os.Rename(b.config.RsyncDirectory, away); err != nil {
		t.Fatal(err)
	}
	b.put(b.config.RsyncDirectory, "in the way")
	for range 2 {
		r := b.want(report.Failed, report.ReasonSyncFailed, report.ExitFailed)
		if !strings.Contains(findings(r), "damaged, or was changed, in the storage") {
			t.Errorf("it says %q", r.Message)
		}
	}
}

func (b *bench) copy(from, to string) {
	b.t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		b.t.Fatal(err)
	}
	b.put(to, string(content))
}

// flip flips a bit.
func (b *bench) flip(path string, offset int64) {
	b.t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	content[offset] ^= 0x10
	b.put(path, string(content))
}

func TestTheSidecarChecksWhatIsRestored(t *testing.T) {
	b := newBench(t)
	b.sizable(3)
	for range 2 {
		r := b.succeed()
		for _, dir := range []string{b.config.Directory, b.config.RsyncDirectory} {
			path, restored := filepath.Join(dir, r.Archive.Name), t.TempDir()
			cmd := exec.Command("sh", "-c", `tar --zstd -xf "$0" && sha256sum --strict -c "$0.sha256"`, path)
			cmd.Dir = restored
			out, err := cmd.CombinedOutput()
			if err != nil || strings.Count(string(out), ": OK\n") != 5 {
				t.Errorf("%v: %s", err, out)
			}
		}
	}
}

func TestBytesToSendCountTheSidecars(t *testing.T) {
	b := newBench(t)
	b.config.RsyncDirectory = ""
	b.succeed()
	backups, err := catalog.List(b.config.Directory, "", b.now)
	if err != nil {
		t.Fatal(err)
	}
	sidecar := catalog.SidecarBytes(b.config.Directory, backups[0])
	if sidecar == 0 {
		t.Fatal("there is no sidecar")
	}
	if diff := cmp.Diff(backups[0].Bytes+sidecar, bytesToSend(b.config.Directory, backups, nil)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if n := bytesToSend(b.config.Directory, backups, backups); n != 0 {
		t.Errorf("%d bytes of what is there already", n)
	}
}
