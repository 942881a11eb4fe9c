// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// A restore that may have too few files open ends with that error, at whatever level it is, and can be run again.
func TestTooFewOpenFilesEndARestore(t *testing.T) {
	tree := dir{Entries: entries{"f": file{Content: "x"}}}
	for range 400 {
		tree = dir{Entries: entries{"d": tree, "f": file{Content: "x"}}}
	}
	b := backedUp(t, tree)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	opts := Options{Targets: map[string]string{"data": t.TempDir()}}
	for _, limit := range []uint64{64, 256, 400} {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: before.Max}); err != nil {
			t.Fatal(err)
		}
		_, err := restoreInto(t, b.archive, opts)
		if err2 := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err2 != nil {
			t.Fatal(err2)
		}
		if !errors.Is(err, unix.EMFILE) {
			t.Errorf("with %d open files: %v", limit, err)
		}
	}
	if got := mustRestore(t, b.archive, opts); got.Files != 401 {
		t.Errorf("%+v", got.Result)
	}
}
