// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
	"golang.org/x/sys/unix"
)

// deep is a tree of so many levels with a file in each.
func deep(levels int) treetest.Dir {
	d := treetest.Dir{Entries: treetest.Entries{"f": treetest.File{Content: "x"}}}
	for range levels {
		d = treetest.Dir{Entries: treetest.Entries{"d": d, "f": treetest.File{Content: "x"}}}
	}
	return d
}

// An archive that lacks what could have been read with a higher limit is none: the run fails, and says what to raise.
func TestTooFewOpenFilesFailTheArchive(t *testing.T) {
	inChild(t, "TestTooFewOpenFilesFailTheArchive", 0, func() {
		root := built(t, deep(400))
		var before unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
		for _, limit := range []uint64{64, 100, 256, 400} {
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: before.Max}); err != nil {
				t.Fatal(err)
			}
			w, err := tryWrite(t, t.Context(), Options{Concurrency: 2}, Source{Name: "data", Path: root})
			if err2 := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err2 != nil {
				t.Fatal(err2)
			}
			if !errors.Is(err, unix.EMFILE) || len(w.warnings) > 0 {
				t.Errorf("with %d open files: %v, %d warnings", limit, err, len(w.warnings))
			}
			if text := ExplainOpenFiles(err); text == nil || !strings.Contains(text.Error(), "ulimit -n") {
				t.Errorf("with %d open files: %s", limit, text)
			}
		}
	})
}
