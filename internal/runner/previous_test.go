// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
	"github.com/google/go-cmp/cmp"
)

func TestHeldFiles(t *testing.T) {
	const own = "orbit/appliance"
	backup := func(policy string, state catalog.State, sources ...archive.SourceSummary) catalog.Backup {
		return catalog.Backup{
			State: state, Header: archive.Header{Policy: policy}, Summary: archive.Summary{Sources: sources},
		}
	}
	data := func(files int64) archive.SourceSummary { return archive.SourceSummary{Name: "data", Files: files} }
	logs := func(files int64) archive.SourceSummary { return archive.SourceSummary{Name: "logs", Files: files} }
	emptied := archive.SourceSummary{Name: "data", Emptied: true}
	for _, test := range []struct {
		name    string
		backups []catalog.Backup // Newest first.
		want    map[string]bool
	}{
		{"no backups", nil, map[string]bool{}},
		{"a complete one", []catalog.Backup{backup(own, catalog.Complete, data(5), logs(0))}, map[string]bool{"data": true}},
		{"only the newest complete one counts", []catalog.Backup{
			backup(own, catalog.Complete, data(0)), backup(own, catalog.Complete, data(5), logs(1)),
		}, map[string]bool{}},
		{"the complete one before incomplete ones", []catalog.Backup{
			backup(own, catalog.Incomplete, emptied, logs(2)), backup(own, catalog.Incomplete, data(0), logs(0)),
			backup(own, catalog.Complete, data(5)), backup(own, catalog.Complete, logs(1)),
		}, map[string]bool{"data": true}},
		{"the complete one was removed", []catalog.Backup{
			backup(own, catalog.Incomplete, data(0), logs(1)), backup(own, catalog.Incomplete, emptied, logs(1)),
		}, map[string]bool{"data": true}},
		{"the source was taken out since", []catalog.Backup{
			backup(own, catalog.Complete, logs(1)), backup(own, catalog.Incomplete, emptied, logs(1)),
		}, map[string]bool{"logs": true}},
		{"others' and damaged ones", []catalog.Backup{
			backup("other/policy", catalog.Complete, data(5)), backup(own, catalog.Damaged, data(5)),
			backup(own, catalog.Complete, logs(1)),
		}, map[string]bool{"logs": true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, heldFiles(test.backups, own)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestAnEmptiedSourceMakesTheRunIncomplete(t *testing.T) {
	b := newBench(t)
	b.succeed()
	b.succeed()
	file := filepath.Join(b.config.Sources[0].Path, "file")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		r := b.want(report.Incomplete, report.ReasonSourceEmpty, report.ExitIncomplete)
		if !strings.Contains(r.Message, "data") || strings.Contains(r.Message, "logs") || !r.Backups.Newest[0].Incomplete {
			t.Errorf("reported %q, %+v", r.Message, r.Backups)
		}
	}
	b.holds("2 3 6i 7i 8i", "2 3 6i 7i 8i")
	b.put(file, "mounted again")
	b.succeed()
	b.holds("2 3 9", "2 3 9")
}

func TestAnEmptiedArchiveStaysIncompleteWithoutTheCompleteOne(t *testing.T) {
	b := newBench(t)
	b.succeed()
	if err := os.Remove(filepath.Join(b.config.Sources[0].Path, "file")); err != nil {
		t.Fatal(err)
	}
	b.want(report.Incomplete, report.ReasonSourceEmpty, report.ExitIncomplete)
	b.holds("2 3i", "2 3i")
	for _, dir := range []string{b.config.Directory, b.config.RsyncDirectory} {
		complete := filepath.Join(dir, "app-20261102T050000Z.tar.zst")
		if err := errors.Join(os.Remove(complete), os.Remove(complete+catalog.SidecarSuffix)); err != nil {
			t.Fatal(err)
		}
	}
	b.holds("3i", "3i")
	// Nor does the next run take the source for one that never held anything.
	b.want(report.Incomplete, report.ReasonSourceEmpty, report.ExitIncomplete)
	b.holds("3i 4i", "3i 4i")
}

func TestAnEmptiedSourceIsKnownFromTheMirrorToo(t *testing.T) {
	b := newBench(t)
	b.succeed()
	err := errors.Join(os.RemoveAll(b.config.Directory), os.Remove(filepath.Join(b.config.Sources[1].Path, "file")))
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		b.want(report.Incomplete, report.ReasonSourceEmpty, report.ExitIncomplete)
	}
	if got := b.days(b.config.RsyncDirectory); !strings.HasPrefix(got, "2 ") {
		t.Errorf("the mirror holds %q", got)
	}
}

func TestASourceThatNeverHeldFilesIsFine(t *testing.T) {
	b := newBench(t)
	if err := os.Remove(filepath.Join(b.config.Sources[0].Path, "file")); err != nil {
		t.Fatal(err)
	}
	b.succeed()
	b.succeed()
}
