// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
)

func TestDestinationsInsideASourceAreLeftOut(t *testing.T) {
	type entries = treetest.Entries
	backups := entries{"old.tar.zst": treetest.File{Content: random(3<<20, 1)}, "sub": treetest.Dir{}}
	root := built(t, treetest.Dir{Entries: entries{
		"backups": treetest.Dir{Entries: entries{"note": treetest.File{Content: "by name alone"}}},
		"file":    treetest.File{Content: "x"},
		"mnt":     treetest.Dir{Entries: entries{"disk": treetest.Dir{Entries: entries{"backups": treetest.Dir{Entries: backups}}}}},
		"mirror":  treetest.Dir{Entries: backups},
		// Links aren't followed, so one to a destination holds nothing of it.
		"link": treetest.Symlink{Target: "mirror"},
	}})
	// The run knows them by other paths than those inside the source.
	outside := t.TempDir()
	storage := filepath.Join(outside, "storage")
	if err := os.Symlink(filepath.Join(root, "mnt", "disk"), storage); err != nil {
		t.Fatal(err)
	}
	written := []OutputDirectory{destination(t, filepath.Join(storage, "backups")), destination(t, filepath.Join(root, "mirror"))}
	source := Source{Name: "data", Path: root}

	w := write(t, Options{Destinations: written}, source)
	want := map[string]string{
		"data/": "", "data/backups/": "", "data/backups/note": "by name alone", "data/file": "x", "data/link": "",
		"data/mnt/": "", "data/mnt/disk/": "",
	}
	if diff := cmp.Diff(want, w.members(t)); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	wantKinds := map[string]WarningKind{"mnt/disk/backups": Destination, "mirror": Destination}
	if diff := cmp.Diff(wantKinds, kinds(w.warnings)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	s := w.result.Summary
	if counts := (WarningCounts{Destination: 2}); s.Warnings != counts || !s.Complete || s.Warnings.Total() != 2 {
		t.Errorf("summary %+v", s)
	}

	m, err := Measure(t.Context(), []Source{source}, MeasureOptions{Destinations: written})
	if err != nil || m.Entries != s.Entries || m.Files != s.Files || m.Bytes != s.BytesRead {
		t.Errorf("measured %+v, error %v; archived %+v", m, err, s)
	}
}

func destination(t *testing.T, path string) OutputDirectory {
	t.Helper()
	d, err := FindOutputDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestASourceThatIsADestinationIsRefused(t *testing.T) {
	root := t.TempDir()
	source := Source{Name: "data", Path: root}
	w, err := tryWrite(t, t.Context(), Options{Destinations: []OutputDirectory{destination(t, root+"/.")}}, source)
	if !errors.Is(err, ErrInvalidSource) {
		t.Errorf("write: error %v", err)
	}
	if st, err := os.Stat(w.path); err != nil || st.Size() != 0 {
		t.Errorf("something was written: %v %v", st.Size(), err)
	}
	if _, err := Measure(t.Context(), []Source{source}, MeasureOptions{Destinations: []OutputDirectory{destination(t, root)}}); !errors.Is(err, ErrInvalidSource) {
		t.Errorf("measure: error %v", err)
	}
}
