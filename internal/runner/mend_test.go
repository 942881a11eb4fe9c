// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
)

// newBigBench is a bench whose archives have some MiB that don't compress.
func newBigBench(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	content := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	b.put(filepath.Join(b.config.Sources[0].Path, "recording"), string(content))
	return b
}

// spoil flips a byte of a file and gives it back its time, as damage does.
func (b *bench) spoil(path string, offset int64) {
	b.t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		b.t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	content[offset] ^= 1
	err = errors.Join(os.WriteFile(path, content, 0o600), os.Chtimes(path, fi.ModTime(), fi.ModTime()))
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) sameInMirror(file string) bool {
	b.t.Helper()
	here, hereErr := os.ReadFile(filepath.Join(b.config.Directory, file))
	there, thereErr := os.ReadFile(filepath.Join(b.config.RsyncDirectory, file))
	if err := errors.Join(hereErr, thereErr); err != nil {
		b.t.Fatal(err)
	}
	return bytes.Equal(here, there)
}

func findingsOf(r report.Report, reason report.FindingReason) []string {
	var messages []string
	for _, f := range r.Findings {
		if f.Reason == reason {
			messages = append(messages, f.Message)
		}
	}
	return messages
}

// TestADamagedCopyInTheMirrorIsSentAgain, though it has the size and the time of what was sent: in every part of the file,
// of an earlier archive and of its list of checksums.
func TestADamagedCopyInTheMirrorIsSentAgain(t *testing.T) {
	b := newBigBench(t)
	b.config.VerifyRuns = 1
	first := b.succeed().Archive
	size := first.BytesWritten
	sidecar := first.Name + catalog.SidecarSuffix
	for name, test := range map[string]struct {
		file   string
		offset int64
	}{
		"first byte": {first.Name, 0}, "header": {first.Name, 60}, "middle": {first.Name, size / 2},
		"summary": {first.Name, size - 400}, "last byte": {first.Name, size - 1}, "checksums": {sidecar, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b.t, b.config.Keep = t, b.config.Keep+2
			b.spoil(filepath.Join(b.config.RsyncDirectory, test.file), test.offset)
			r := b.succeed()
			if !b.sameInMirror(test.file) {
				t.Error("it is still damaged")
			}
			if got := findingsOf(r, report.FindingMirrorDamaged); len(got) != 1 || !strings.Contains(got[0], first.Name) {
				t.Errorf("found %q", got)
			}
			if again := b.succeed(); len(again.Findings) > 0 {
				t.Errorf("the next run found %+v", again.Findings)
			}
		})
	}
}

// TestDamageInTheMirrorIsFoundWithinVerifyRuns, wherever it is, and no run reads more than its share.
func TestDamageInTheMirrorIsFoundWithinVerifyRuns(t *testing.T) {
	b := newBigBench(t)
	b.config.VerifyRuns, b.config.Keep = 4, 10
	first := b.succeed().Archive
	for _, offset := range []int64{100, first.BytesWritten / 3, first.BytesWritten / 2, first.BytesWritten - 100_000} {
		b.spoil(filepath.Join(b.config.RsyncDirectory, first.Name), offset)
		found := 0
		for range b.config.VerifyRuns {
			found += len(findingsOf(b.succeed(), report.FindingMirrorDamaged))
		}
		if found != 1 || !b.sameInMirror(first.Name) {
			t.Errorf("a byte at %d: found %d times", offset, found)
		}
		b.config.Keep += b.config.VerifyRuns
	}
}

// TestADamagedArchiveDoesNotReplaceItsGoodCopyInTheMirror: where the two differ, the mirror's may be the good one.
func TestADamagedArchiveDoesNotReplaceItsGoodCopyInTheMirror(t *testing.T) {
	b := newBigBench(t)
	b.config.VerifyRuns, b.config.NoReuse = 1, true
	first := b.succeed().Archive
	there := filepath.Join(b.config.RsyncDirectory, first.Name)
	good, err := os.ReadFile(there)
	if err != nil {
		t.Fatal(err)
	}
	b.spoil(filepath.Join(b.config.Directory, first.Name), first.BytesWritten/2)
	r := b.succeed()
	if now, err := os.ReadFile(there); err != nil || !bytes.Equal(now, good) {
		t.Errorf("the good copy was replaced: %v", err)
	}
	if got := findingsOf(r, report.FindingArchiveDamaged); len(got) != 1 || !strings.Contains(got[0], first.Name) ||
		!strings.Contains(got[0], report.VolumeShell) {
		t.Errorf("found %q", got)
	}
}

// TestTheOldCopyStaysUntilTheNewOneIsWhole: a transfer that fails in the middle leaves even a damaged copy as it was.
func TestTheOldCopyStaysUntilTheNewOneIsWhole(t *testing.T) {
	b := newBigBench(t)
	b.config.VerifyRuns = 1
	first := b.succeed().Archive
	there := filepath.Join(b.config.RsyncDirectory, first.Name)
	b.spoil(there, first.BytesWritten/2)
	damaged, err := os.ReadFile(there)
	if err != nil {
		t.Fatal(err)
	}
	failing := filepath.Join(t.TempDir(), "rsync")
	// It transfers everything but what is sent again, of which it leaves a part where it was told to receive.
	b.put(failing, "#!/bin/sh\ncase \"$*\" in *--ignore-times*) for a; do case $a in --temp-dir=*) "+
		"echo half > \"${a#*=}/half\"; esac; done; exit 12;; esac\nexec "+installedRsync(t)+" \"$@\"\n")
	if err := os.Chmod(failing, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(failing)+":"+os.Getenv("PATH"))
	b.want(report.Failed, report.ReasonSyncFailed, report.ExitFailed)
	if now, err := os.ReadFile(there); err != nil || !bytes.Equal(now, damaged) {
		t.Errorf("the old copy is another one now: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(b.config.RsyncDirectory, ".app.partial", "*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func installedRsync(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("rsync")
	if err != nil {
		t.Fatal(err)
	}
	return path
}
