// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/treetest"
)

// flip flips one bit of a file.
func flip(t *testing.T, path string, offset int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedFrameIsMadeAnew(t *testing.T) {
	source := trusted(t, mixed())
	one := first(t, source)
	pristine, stream := one.bytes(t), one.tarBytes(t)
	groups, chunks, _ := one.frames(t)
	for i, f := range append(groups, chunks...) {
		path := saved(t, pristine)
		flip(t, path, f.offset+f.Stored/3)
		two := afterAlone(t, path, Options{VerifyRuns: 1}, source)
		if !bytes.Equal(two.tarBytes(t), stream) || !bytes.Equal(two.checksums, one.checksums) {
			t.Errorf("frame %d: damage gets into the next archive", i)
		}
		r, s := two.result.Reuse, two.result.Summary
		if r.DamagedFrames != 1 || r.NewBytes < f.Stored || r.NewBytes > 4<<20 || !s.Complete {
			t.Errorf("frame %d at %d: %+v", i, f.offset, r)
		}
		// Where the holes of a sparse file are may be told in another way now, so that all of it must be read.
		if again := int64(len(two.warnings) - 1); again > 1 || s.Warnings != (WarningCounts{Damaged: 1 + min(again, 1)}) {
			t.Errorf("frame %d: %+v, warnings %+v", i, s.Warnings, two.warnings)
		}
		if w := two.warnings[len(two.warnings)-1]; w.Kind != Damaged || !strings.Contains(w.Err, filepath.Base(path)) {
			t.Errorf("frame %d: warnings %+v", i, two.warnings)
		}
	}
}

// TestEveryByteIsCheckedWithinSomeRuns: without that, damage on disk would go from archive to archive for ever.
func TestEveryByteIsCheckedWithinSomeRuns(t *testing.T) {
	reflinked(t, func(t *testing.T, dir string) {
		treetest.Build(t, filepath.Join(dir, "source"), treetest.Dir{Entries: treetest.Entries{
			"big": treetest.File{Content: random(30<<20, 1)}, "small": treetest.Dir{Entries: smallFiles(300)},
		}})
		source := Source{Name: "data", Path: filepath.Join(dir, "source")}
		const runs = 5
		path := filepath.Join(dir, "0")
		writeTo(t, path, "", Options{now: later, VerifyRuns: runs}, source)
		checked := map[int64]int{}
		for i := range runs {
			before := written{path: path}
			next := filepath.Join(dir, string(rune('1'+i)))
			r := writeTo(t, next, path, Options{now: later, VerifyRuns: runs}, source).Reuse
			if r.Method != MethodReflink || r.NewBytes != index.Alignment {
				t.Fatalf("%+v", r)
			}
			if r.VerifiedBytes == 0 || r.VerifiedBytes > r.ReusedBytes*2/3 {
				t.Errorf("run %d checked %d bytes of %d", i, r.VerifiedBytes, r.ReusedBytes)
			}
			countChecked(t, checked, before, written{path: next})
			path = next
		}
		for offset, n := range checked {
			if n != 1 {
				t.Errorf("the frame at %d was checked %d times in %d runs", offset, n, runs)
			}
		}
	})
}

// countChecked counts the frames whose age began anew.
func countChecked(t *testing.T, checked map[int64]int, before, now written) {
	t.Helper()
	groups, chunks, _ := before.frames(t)
	newGroups, newChunks, _ := now.frames(t)
	for i, f := range append(groups, chunks...) {
		is := append(newGroups, newChunks...)[i]
		switch is.Age {
		case f.Age + 1:
			checked[f.offset] += 0
		case 0:
			checked[f.offset]++
		default:
			t.Errorf("a frame of age %d has age %d a run later", f.Age, is.Age)
		}
	}
}

func TestWhenAFrameIsDue(t *testing.T) {
	for _, test := range []struct {
		age  uint8
		runs int
		want bool
	}{{0, 1, true}, {0, 2, false}, {1, 2, true}, {12, 14, false}, {13, 14, true}, {200, 14, true}, {254, 255, true}} {
		if got := isDue(test.age, test.runs); got != test.want {
			t.Errorf("age %d, %d runs: %t", test.age, test.runs, got)
		}
	}
	for crc := range uint32(100) {
		if age := firstAge(crc, 14); age > 13 {
			t.Errorf("a new frame has age %d", age)
		}
	}
}

func TestADamagedBlockOfTheIndexCostsReuseOnly(t *testing.T) {
	source := trusted(t, smallFiles(3*blockEntries))
	pristine := first(t, source).bytes(t)
	_, _, blocks := written{path: saved(t, pristine)}.frames(t)
	if len(blocks) < 3 {
		t.Fatalf("the index has %d blocks", len(blocks))
	}
	for i, b := range blocks {
		path := saved(t, pristine)
		flip(t, path, b.Offset+b.Length/2)
		two := after(t, path, Options{}, source)
		if r := two.result.Reuse; r.ReusedBytes == 0 || r.NewBytes <= index.Alignment {
			t.Errorf("block %d: %+v", i, r)
		}
		if len(two.warnings) != 1 || two.warnings[0].Kind != Damaged || two.warnings[0].Path != "." {
			t.Errorf("block %d: warnings %+v", i, two.warnings)
		}
	}
}

// TestAFrameThatCanNotBeMadeAnewAfterAll: it is damaged, and its file isn't the one any more that the rest was taken from.
func TestAFrameThatCanNotBeMadeAnewAfterAll(t *testing.T) {
	source := trusted(t, treetest.Entries{"a": treetest.File{Content: random(40<<20, 1)}})
	one := first(t, source)
	_, chunks, _ := one.frames(t)
	flip(t, one.path, chunks[len(chunks)-1].offset+100)
	opts := once(func() { overwrite(t, filepath.Join(source.Path, "a"), 5, "other") })
	opts.VerifyRuns = 1
	two := after(t, one.path, opts, source)
	if r := two.result.Reuse; r.Previous == "" || two.result.Summary.Warnings.Damaged == 0 {
		t.Errorf("%+v", r)
	}
}
