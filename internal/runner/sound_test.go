// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
)

// flipByte changes one byte of a file and leaves its times as they were.
func (b *bench) flipByte(path string, at int64) {
	b.t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		b.t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	content[at] ^= 0x10
	if err := errors.Join(os.WriteFile(path, content, 0o600), os.Chtimes(path, fi.ModTime(), fi.ModTime())); err != nil {
		b.t.Fatal(err)
	}
}

// inRecords are places within each of an archive's records, and between them.
func inRecords(t *testing.T, path string) map[string]int64 {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a, err := archive.Open(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	find := func(text string) int64 { return int64(bytes.LastIndex(content, []byte(text))) }
	places := map[string]int64{
		"the preamble": 3, "the header's size": 14, "the header's signature": 20, "the header's version": 27, "the header": 50,
		"the padding after the header": 1000, "the directory's frame": find("ABOARCHVD") - 4,
		"the directory": find("ABOARCHVD") + 20, "the summary's frame": find("ABOARCHVS") - 4, "the summary": find("ABOARCHVS") + 40,
		"the tail's offset": find("ABOTAIL") - 6, "the tail": find("ABOTAIL") + 3, "the seek table": int64(len(content)) - 20,
		"the last byte": int64(len(content)) - 1,
	}
	for i, ref := range a.Blocks() {
		places[fmt.Sprintf("block %d of the index", i)] = ref.Offset + ref.Length - 10
		places[fmt.Sprintf("the frame of block %d of the index", i)] = ref.Offset + 2
	}
	return places
}

// TestADamagedArchivePushesOutNoSoundOne damages the records of one of three archives in one place each.
func TestADamagedArchivePushesOutNoSoundOne(t *testing.T) {
	b := newBench(t)
	b.config.RsyncDirectory = ""
	for range 3 {
		b.succeed()
	}
	then := b.now
	damaged := filepath.Join(b.config.Directory, "app-20261103T050000Z.tar.zst")
	latest := filepath.Join(b.config.Directory, "app-20261104T050000Z.tar.zst")
	template := t.TempDir()
	if err := os.CopyFS(template, os.DirFS(b.config.Directory)); err != nil {
		t.Fatal(err)
	}
	for name, at := range inRecords(t, damaged) {
		for _, path := range []string{damaged, latest} {
			t.Run(name+" of "+filepath.Base(path), func(t *testing.T) {
				b.t, b.now = t, then
				if err := errors.Join(os.RemoveAll(b.config.Directory), os.CopyFS(b.config.Directory, os.DirFS(template))); err != nil {
					t.Fatal(err)
				}
				b.flipByte(path, at)
				r := b.succeed()
				for _, day := range []int{2, 3, 4, 5} {
					file := fmt.Sprintf("app-202611%02dT050000Z.tar.zst", day)
					if _, err := os.Stat(filepath.Join(b.config.Directory, file)); err != nil {
						t.Errorf("of four archives, one of them damaged, %s is gone", file)
					}
				}
				if said := findings(r); !strings.HasPrefix(said, "ArchiveDamaged: "+filepath.Base(path)) || len(r.Findings) != 1 {
					t.Errorf("found %q", said)
				}
				if r.Backups.Count != 3 || r.Archive.Reuse.Previous == filepath.Base(path) {
					t.Errorf("reported %+v, %+v", r.Backups, r.Archive.Reuse)
				}
			})
		}
	}
}

func TestADamagedArchivePushesOutNoSoundOneOfTheMirror(t *testing.T) {
	b := newBench(t)
	for range 3 {
		b.succeed()
	}
	if err := os.RemoveAll(b.config.Directory); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(b.config.RsyncDirectory, "app-20261103T050000Z.tar.zst")
	b.flipByte(damaged, inRecords(t, damaged)["block 0 of the index"])
	r := b.succeed()
	b.holds("5", "2 3 4 5")
	if said := findings(r); !strings.Contains(said, "app-20261103T050000Z.tar.zst in the mirror: damaged") {
		t.Errorf("found %q", said)
	}
	b.succeed()
	b.holds("5 6", "4 5 6")
}

func TestAnArchiveWhoseDataWasFoundDamagedInTheRunDoesNotCount(t *testing.T) {
	b := newBench(t)
	b.config.VerifyRuns = 1
	for range 3 {
		b.succeed()
	}
	damaged := filepath.Join(b.config.Directory, "app-20261104T050000Z.tar.zst")
	b.flipByte(damaged, 4096+20)
	r := b.succeed()
	if said := findings(r); len(r.Findings) != 1 || !strings.Contains(said, "app-20261104T050000Z.tar.zst is damaged") {
		t.Errorf("found %q", said)
	}
	if got := b.days(b.config.Directory); got != "2 3 4 5" {
		t.Errorf("the backup directory holds %q", got)
	}
}

// TestAnArchiveWhoseDataWasFoundDamagedCountsInNoLaterRun: neither a retry nor the runs of the next days find the damage
// again, because they take nothing over from the damaged archive.
func TestAnArchiveWhoseDataWasFoundDamagedCountsInNoLaterRun(t *testing.T) {
	b := newBench(t)
	b.config.VerifyRuns = 1
	for range 3 {
		b.succeed()
	}
	b.flipByte(filepath.Join(b.config.Directory, "app-20261104T050000Z.tar.zst"), 4096+20)
	b.config.Run = "job-1"
	b.succeed()
	r := b.succeed()
	if said := findings(r); len(r.Findings) != 1 || !strings.Contains(said, "app-20261104T050000Z.tar.zst is damaged") {
		t.Errorf("a retry found %q", said)
	}
	b.holds("2 3 4 5", "2 3 4 5")
	b.config.Run = "job-2"
	b.succeed()
	b.holds("3 4 5 7", "3 4 5 7")
	b.config.Run = "job-3"
	b.succeed()
	b.holds("5 7 8", "5 7 8")
}

func TestAClockThatWasAheadIsReportedInEachRun(t *testing.T) {
	b := newBench(t)
	if r := b.succeed(); len(r.Findings) != 0 {
		t.Errorf("found %q before", findings(r))
	}
	then := b.now
	b.now = b.now.AddDate(5, 0, 0)
	ahead := b.succeed().Archive.Name
	b.now = then
	for range 2 {
		r := b.succeed()
		if said := findings(r); !strings.HasPrefix(said, string(report.FindingClockSkew)) || !strings.Contains(said, ahead) {
			t.Errorf("found %q", said)
		}
	}
	b.succeed()
	if r := b.succeed(); len(r.Findings) != 0 {
		t.Errorf("found %q when it is gone", findings(r))
	}
}

func TestArchivesWithAnotherPrefixAreReported(t *testing.T) {
	b := newBench(t)
	for range 2 {
		b.succeed()
	}
	b.config.Prefix = "new"
	b.config.Policy = "orbit/other"
	if r := b.succeed(); len(r.Findings) != 0 {
		t.Errorf("of another policy's archives, found %q", findings(r))
	}
	b.config.Policy = "orbit/appliance"
	b.config.Prefix = "newer"
	for range 2 {
		r := b.succeed()
		said := findings(r)
		for _, want := range []string{
			"in the backup directory: 2 named app-*.", "in the mirror: 2 named app-*.", report.VolumeShell,
		} {
			if len(r.Findings) != 2 || !strings.Contains(said, want) {
				t.Errorf("found %q, want %q", said, want)
			}
		}
	}
}

func TestNamedNamesAFew(t *testing.T) {
	var backups []catalog.Backup
	for _, file := range []string{"a", "b", "c", "d", "e"} {
		backups = append(backups, catalog.Backup{File: file})
	}
	if got := named(backups); got != "a, b, c and 2 more" {
		t.Errorf("%q", got)
	}
}
