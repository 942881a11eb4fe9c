// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/treetest"
	"golang.org/x/sys/unix"
)

// frames are where the parts of an archive are in its file.
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

// saved writes a file for a test.
func saved(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "previous.tar.zst")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
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
