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
	"golang.org/x/sys/unix"
)

// place is where something of an archive is in its file.
func (w written) frames(t *testing.T) (groups, chunks []oldFrame, blocks []index.BlockRef) {
	t.Helper()
	file := w.bytes(t)
	a, err := Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var b index.Block
	for i, ref := range a.Blocks() {
		if err := a.ReadBlock(i, &b); err != nil {
			t.Fatal(err)
		}
		offset := ref.Data
		for _, f := range b.Frames {
			if f.Entries > 0 {
				groups = append(groups, oldFrame{f, offset})
			} else if f.Content > 2*blockSize {
				chunks = append(chunks, oldFrame{f, offset})
			}
			offset += f.Stored
		}
	}
	return groups, chunks, a.Blocks()
}

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

// saved writes a file for a test.
func saved(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "previous.tar.zst")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
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

func TestArchivesThatAreNotReused(t *testing.T) {
	source := trusted(t, mixed())
	one := first(t, source)
	pristine := one.bytes(t)
	file, err := Open(bytes.NewReader(pristine), int64(len(pristine)))
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(offset int64) []byte {
		bad := bytes.Clone(pristine)
		bad[offset] ^= 4
		return bad
	}
	withoutIndex, err := appendHead(nil, Header{Level: DefaultLevel})
	if err != nil {
		t.Fatal(err)
	}
	if withoutIndex, err = appendSummary(withoutIndex, &Summary{}, nil, int64(len(withoutIndex))); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		previous []byte
		level    int
	}{
		"empty":             {nil, 0},
		"a stranger's":      {bytes.Repeat([]byte("a stranger's file\n"), 1000), 0},
		"truncated":         {pristine[:len(pristine)/2], 0},
		"cut by a byte":     {pristine[:len(pristine)-1], 0},
		"without an index":  {withoutIndex, 0},
		"damaged head":      {flipped(20), 0},
		"damaged directory": {flipped(file.directory.Offset + file.directory.Length/2), 0},
		"damaged summary":   {flipped(file.summary.Offset + 40), 0},
		"another level":     {pristine, 9},
	} {
		t.Run(name, func(t *testing.T) {
			two := after(t, saved(t, test.previous), Options{Level: test.level}, source)
			if r := two.result.Reuse; r.Previous != "" || r.Method != "" || r.ReusedBytes != 0 || r.NewBytes == 0 {
				t.Errorf("%+v", r)
			}
			if len(two.warnings) > 0 {
				t.Errorf("warnings %+v", two.warnings)
			}
		})
	}
}

func TestOtherExcludesAndSourcesAreReusedAsFarAsTheyGo(t *testing.T) {
	source := trusted(t, mixed())
	other := trusted(t, treetest.Entries{"f": treetest.File{Content: random(2<<20, 9)}})
	other.Name = "other"
	one := first(t, source)
	excluding := source
	excluding.Exclude = []string{"file 1*", "a"}
	for name, sources := range map[string][]Source{
		"excluding": {excluding}, "one more": {source, other}, "one more before": {other, source},
	} {
		if r := after(t, one.path, Options{}, sources...).result.Reuse; r.ReusedBytes < 5<<20 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	two := first(t, other, source)
	for name, sources := range map[string][]Source{
		"one less": {source}, "the other less": {other}, "another order": {source, other},
	} {
		if r := after(t, two.path, Options{}, sources...).result.Reuse; r.ReusedBytes < 2<<20 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestThePreviousArchiveMayChangeInMidRun(t *testing.T) {
	source := trusted(t, treetest.Entries{
		"a": treetest.File{Content: random(16<<20, 1)}, "b": treetest.File{Content: random(16<<20, 2)},
		"c": treetest.Dir{Entries: smallFiles(300)},
	})
	pristine := first(t, source).bytes(t)
	for name, test := range map[string]struct {
		meddle func(path string) error
		again  bool
	}{
		"deleted":   {os.Remove, false},
		"truncated": {func(path string) error { return os.Truncate(path, 20<<20) }, true},
		"emptied":   {func(path string) error { return os.Truncate(path, 0) }, true},
		"longer":    {func(path string) error { return os.Truncate(path, 100<<20) }, true},
		"overwritten": {func(path string) error {
			return os.WriteFile(path, bytes.Repeat([]byte("x"), len(pristine)), 0o600)
		}, true},
		"replaced": {func(path string) error {
			if err := os.WriteFile(path+"2", nil, 0o600); err != nil {
				return err
			}
			return os.Rename(path+"2", path)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := saved(t, pristine)
			if err := treetest.SetModTime(path, later().AddDate(-1, 0, 0)); err != nil {
				t.Fatal(err)
			}
			last := Progress{}
			opts := once(func() {
				if err := test.meddle(path); err != nil {
					t.Error(err)
				}
			})
			tell := opts.Progress
			opts.Progress = func(p Progress) {
				if p.Files < last.Files || p.BytesRead < last.BytesRead || p.BytesWritten < last.BytesWritten {
					t.Errorf("progress went back from %+v to %+v", last, p)
				}
				last = p
				tell(p)
			}
			two := after(t, path, opts, source)
			if again := two.result.Reuse.Previous == ""; again != test.again {
				t.Errorf("made again: %t; %+v", again, two.result.Reuse)
			}
			s := two.result.Summary
			if !s.Complete || test.again && s.Warnings != (WarningCounts{Damaged: 1}) || !test.again && s.Warnings.Total() > 0 {
				t.Errorf("%+v, warnings %+v", s, two.warnings)
			}
		})
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

func TestErrorsOfTheNewFileAreNotThePreviousOnes(t *testing.T) {
	source := trusted(t, mixed())
	one := first(t, source)
	previous, err := os.Open(one.path)
	if err != nil {
		t.Fatal(err)
	}
	defer previous.Close()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	_, err = Write(t.Context(), full, []Source{source}, Options{Previous: previous})
	if !isErrno(err, unix.ENOSPC) {
		t.Errorf("got error %v, want %v", err, unix.ENOSPC)
	}
}
