// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// members reads an archive to its end and returns the content of all entries by name.
func (w written) members(t testing.TB) map[string]string {
	t.Helper()
	f, err := os.Open(w.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	found := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("read archive: %v", err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("read %s: %v", h.Name, err)
		}
		found[h.Name] = string(content)
	}
}

// once returns options that call meddle when the first frame has been written. The writer waits meanwhile, with no more
// than a handful of frames read in advance, so what comes 16 MiB later isn't read yet.
func once(meddle func()) Options {
	called := false
	return Options{Concurrency: 1, Progress: func(Progress) {
		if !called {
			called = true
			meddle()
		}
	}}
}

// kinds are the warnings without their details.
func kinds(warnings []Warning) map[string]WarningKind {
	found := map[string]WarningKind{}
	for _, w := range warnings {
		found[w.Path] = w.Kind
	}
	return found
}

func TestFilesInUse(t *testing.T) {
	const size = 32 << 20
	original := random(size, 1)
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	open := func(t *testing.T, path string) *os.File {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	tests := map[string]struct {
		meddle   func(t *testing.T, path string)
		want     WarningKind
		content  string
		complete bool
	}{
		"grows": {func(t *testing.T, path string) {
			f := open(t, path)
			defer f.Close()
			if _, err := f.WriteAt([]byte("more"), size); err != nil {
				t.Fatal(err)
			}
		}, Grew, original, true},
		"shrinks": {func(t *testing.T, path string) {
			if err := os.Truncate(path, 20<<20+5); err != nil {
				t.Fatal(err)
			}
		}, Shrank, original[:20<<20+5] + zeros(size-20<<20-5), false},
		"is written to": {func(t *testing.T, path string) {
			f := open(t, path)
			defer f.Close()
			if _, err := f.WriteAt([]byte("end"), size-3); err != nil {
				t.Fatal(err)
			}
		}, Changed, original[:size-3] + "end", true},
		"gets another mode": {func(t *testing.T, path string) {
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
		}, Changed, original, true},
		"is removed": {func(t *testing.T, path string) {
			// An open file can be read to its end. Only the number of its names has changed.
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, Changed, original, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			root := built(t, treetest.Dir{Entries: treetest.Entries{
				"file": treetest.File{Content: original}, "later": treetest.File{Content: "as ever"}}})
			opts := once(func() { test.meddle(t, filepath.Join(root, "file")) })
			w := write(t, opts, Source{Name: "data", Path: root})
			got := w.members(t)
			if got["data/file"] != test.content {
				t.Error("the content isn't what it should be")
			}
			if got["data/later"] != "as ever" {
				t.Errorf("the next file has content %q", got["data/later"])
			}
			if diff := cmp.Diff(map[string]WarningKind{"file": test.want}, kinds(w.warnings)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if w.result.Summary.Complete != test.complete || w.result.Summary.Warnings.Total() != 1 {
				t.Errorf("summary %+v", w.result.Summary)
			}
		})
	}
}

func TestSparseFileThatShrinksIsIncomplete(t *testing.T) {
	root := built(t, treetest.Dir{Entries: treetest.Entries{
		"a": treetest.File{Content: random(20<<20, 1)},
		"b": treetest.Sparse{Size: 1 << 30, Data: map[int64]string{0: random(20<<20, 2), 1 << 29: "far"}},
	}})
	called := false
	opts := Options{Concurrency: 1, Progress: func(p Progress) {
		if p.BytesRead > 21<<20 && !called {
			called = true
			if err := os.Truncate(filepath.Join(root, "b"), 39<<20); err != nil {
				t.Error(err)
			}
		}
	}}
	w := write(t, opts, Source{Name: "data", Path: root})
	if diff := cmp.Diff(map[string]WarningKind{"b": Shrank}, kinds(w.warnings)); diff != "" || w.result.Summary.Complete {
		t.Errorf("complete: %t, warnings (-want +got):\n%s", w.result.Summary.Complete, diff)
	}
}

func TestVanishedFilesLeaveItComplete(t *testing.T) {
	root := built(t, treetest.Dir{Entries: treetest.Entries{
		"a":  treetest.File{Content: random(32<<20, 1)},
		"a+": treetest.Dir{Entries: smallFiles(2 * aheadBatch * aheadBatches)}, // The walk is that far ahead.
		"b":  treetest.File{Content: "gone"},
		"c":  treetest.Dir{Entries: treetest.Entries{"gone": treetest.File{}}},
		"d1": treetest.File{Content: "linked"}, "d2": treetest.HardLink{To: "d1"},
		"e": treetest.File{Content: "stays"},
	}})
	opts := once(func() {
		for _, name := range []string{"b", "c", "d1"} {
			if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
				t.Error(err)
			}
		}
	})
	w := write(t, opts, Source{Name: "data", Path: root})
	if diff := cmp.Diff(map[string]WarningKind{"b": Vanished, "c": Vanished, "d1": Vanished}, kinds(w.warnings)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if got := w.members(t); got["data/d2"] != "linked" || got["data/e"] != "stays" || !w.result.Summary.Complete {
		t.Errorf("d2 is %q, e is %q, complete: %t", got["data/d2"], got["data/e"], w.result.Summary.Complete)
	}
}

func TestSmallFileThatGrewIsCutWhereItWas(t *testing.T) {
	dir := built(t, treetest.Dir{Entries: treetest.Entries{"log": treetest.File{Content: "old" + random(maxGrown, 1)}}})
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	parent := newDirectory(fd)
	defer parent.release()
	st, err := lstatAt(fd, "log")
	if err != nil {
		t.Fatal(err)
	}
	st.size = 3
	var j journal
	out, ok := j.appendEntry(nil, &item{parent: parent, name: "log", path: "data/log", stat: st})
	if !ok || len(j.warnings) != 1 || j.warnings[0].Kind != Grew {
		t.Fatalf("archived %t, warnings %+v", ok, j.warnings)
	}
	if content := string(bytes.TrimRight(out[len(out)-blockSize:], "\x00")); content != "old" {
		t.Errorf("content is %q", content)
	}
}

func TestReadErrorsLeaveZeros(t *testing.T) {
	// Reading a directory is an error that can be had without a broken disk.
	fd, err := unix.Open(t.TempDir(), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &content{fd: fd, path: "data/x", size: 8}
	c.uses.Store(1)
	defer c.release()
	buf := []byte("leftover")
	c.read(buf, 0)
	if kind, err := c.verdict(); kind != Unreadable || !errors.Is(err, unix.EISDIR) || !bytes.Equal(buf, make([]byte, 8)) {
		t.Errorf("verdict %s %v, content %q", kind, err, buf)
	}
}

func TestRenamedDirectoryCannotLeadOut(t *testing.T) {
	dir := t.TempDir()
	treetest.Build(t, dir, treetest.Dir{Entries: treetest.Entries{
		"outside": treetest.Dir{Entries: treetest.Entries{"f2": treetest.File{Content: "secret"}}},
		"source": treetest.Dir{Entries: treetest.Entries{
			"d": treetest.Dir{Entries: treetest.Entries{"f1": treetest.File{Content: random(32<<20, 1)}, "f2": treetest.File{Content: "mine"}}},
		}},
	}})
	source := filepath.Join(dir, "source")
	w := write(t, once(func() {
		if err := os.Rename(source+"/d", dir+"/moved"); err != nil {
			t.Error(err)
		}
		if err := os.Symlink(dir+"/outside", source+"/d"); err != nil {
			t.Error(err)
		}
	}), Source{Name: "data", Path: source})
	if got := w.members(t)["data/d/f2"]; got != "mine" {
		t.Errorf("d/f2 is %q", got)
	}
}

func TestArchiveIsNotPutIntoItself(t *testing.T) {
	root := built(t, treetest.Dir{Entries: treetest.Entries{"f": treetest.File{Content: "x"}}})
	f, err := os.Create(filepath.Join(root, "archive"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := Write(t.Context(), f, []Source{{Name: "data", Path: root}}, Options{})
	if err != nil || r.Summary.Warnings.Itself != 1 || r.Summary.Files != 1 || !r.Summary.Complete {
		t.Errorf("error %v, summary %+v", err, r.Summary)
	}
}
