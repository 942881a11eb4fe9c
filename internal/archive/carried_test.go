// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/treetest"
)

// TestDamageReachesNoMoreArchivesThanVerifyRuns flips a byte in each frame of an archive, and makes one archive after
// the other from it. However the shares of the checks fall, the damage is in that many archives and not in one more.
func TestDamageReachesNoMoreArchivesThanVerifyRuns(t *testing.T) {
	reflinked(t, func(t *testing.T, dir string) {
		root := filepath.Join(dir, "source")
		treetest.Build(t, root, treetest.Dir{Entries: mixed()})
		for runs := 1; runs <= 4; runs++ {
			for before := range runs {
				t.Run(fmt.Sprintf("%d runs, after %d", runs, before), func(t *testing.T) {
					damagedFrom(t, Source{Name: "data", Path: root}, Options{now: later, VerifyRuns: runs}, dir, before)
				})
			}
		}
	})
}

// damagedFrom damages the archive that comes after so many others, and looks at those that come after it.
func damagedFrom(t *testing.T, source Source, opts Options, dir string, before int) {
	t.Helper()
	previous := ""
	next := func(i int) (string, Result) {
		path := filepath.Join(dir, fmt.Sprintf("%d-%d-%d", opts.VerifyRuns, before, i))
		r := writeTo(t, path, previous, opts, source)
		if previous != "" && r.Reuse.Method != MethodReflink {
			t.Fatalf("reused by %q", r.Reuse.Method)
		}
		previous = path
		return path, r
	}
	for i := range before + 1 {
		next(i)
	}
	flipEachFrame(t, previous)
	damaged, found := 1, false
	for i := range 2 * opts.VerifyRuns {
		path, r := next(before + 1 + i)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		v, err := verify(t, content)
		if err != nil {
			t.Fatal(err)
		}
		found = found || r.Reuse.DamagedFrames > 0
		if v.Problems > 0 {
			damaged++
		}
	}
	if damaged != opts.VerifyRuns || !found {
		t.Errorf("%d archives are damaged, want %d; found: %t", damaged, opts.VerifyRuns, found)
	}
}

// flipEachFrame flips a bit in each frame of an archive.
func flipEachFrame(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := fstat(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	a, err := Open(f, st.size)
	if err != nil {
		t.Fatal(err)
	}
	var block index.Block
	for i, ref := range a.Blocks() {
		if err := a.ReadBlock(i, &block); err != nil {
			t.Fatal(err)
		}
		at := ref.Data
		for _, frame := range block.Frames {
			// The first byte would do as well: what counts is that the frame isn't what was written.
			flipBit(t, f, at+frame.Stored/2)
			at += frame.Stored
		}
	}
}

func flipBit(t *testing.T, f *os.File, offset int64) {
	t.Helper()
	var b [1]byte
	if _, err := f.ReadAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
}
