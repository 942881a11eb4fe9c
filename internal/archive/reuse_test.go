// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// later is a clock that makes everything settled that is in the sources: tests need not wait for it.
func later() time.Time { return time.Now().Add(time.Hour) }

// trustedDir is a directory on a file system of which change times can be relied on.
func trustedDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	if _, ok := marginOf(uint32(s.Type)); !ok {
		t.Fatalf("%s is on a file system whose change times can't be relied on: set TMPDIR to a directory on ext4, XFS or Btrfs", dir)
	}
	return dir
}

// trusted makes a tree on such a file system.
func trusted(t testing.TB, entries treetest.Entries) Source {
	t.Helper()
	root := filepath.Join(trustedDir(t), "source")
	treetest.Build(t, root, treetest.Dir{Entries: entries})
	return Source{Name: "data", Path: root}
}

// first writes an archive all of whose entries are settled.
func first(t testing.TB, sources ...Source) written {
	t.Helper()
	return write(t, Options{now: later}, sources...)
}

// after writes an archive that takes over what it can from another one, and checks that it is what it would be without
// that.
func after(t testing.TB, previous string, opts Options, sources ...Source) written {
	t.Helper()
	w := afterAlone(t, previous, opts, sources...)
	alone := write(t, Options{Level: opts.Level}, sources...)
	if !bytes.Equal(w.tarBytes(t), alone.tarBytes(t)) {
		t.Error("reuse changes the tar stream")
	}
	if diff := cmp.Diff(string(alone.checksums), string(w.checksums)); diff != "" {
		t.Errorf("reuse changes the checksums (-without +with):\n%s", diff)
	}
	return w
}

// afterAlone is after without the check.
func afterAlone(t testing.TB, previous string, opts Options, sources ...Source) written {
	t.Helper()
	f, err := os.Open(previous)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	opts.Previous = f
	if opts.now == nil {
		opts.now = later
	}
	w := write(t, opts, sources...)
	w.checkIndex(t)
	return w
}

// checkIndex reads an archive by its index and compares that with the archive.
func (w written) checkIndex(t testing.TB) {
	t.Helper()
	file := w.bytes(t)
	a, err := Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var stream, stored []byte
	var b index.Block
	entries := int64(0)
	for i, ref := range a.Blocks() {
		if err := a.ReadBlock(i, &b); err != nil {
			t.Fatal(err)
		}
		if ref.Stream != int64(len(stream)) {
			t.Errorf("block %d begins at %d of the stream, and the directory says %d", i, len(stream), ref.Stream)
		}
		offset := ref.Data
		for _, f := range b.Frames {
			if stored, err = a.ReadStored(stored[:0], offset, f); err != nil {
				t.Fatal(err)
			}
			if stream, err = a.decoder.Content(stream, stored, f); err != nil {
				t.Fatal(err)
			}
			offset += f.Stored
		}
		entries += int64(len(b.Entries))
	}
	if !bytes.Equal(stream, w.tarBytes(t)) {
		t.Error("the frames of the index don't make up the tar stream")
	}
	if entries != w.result.Summary.Entries {
		t.Errorf("%d entries in the index, %d in the summary", entries, w.result.Summary.Entries)
	}
}

// entries are the entries of an archive's index, by path.
func (w written) entries(t testing.TB) map[string]index.Entry {
	t.Helper()
	file := w.bytes(t)
	a, err := Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]index.Entry{}
	var b index.Block
	for i := range a.Blocks() {
		if err := a.ReadBlock(i, &b); err != nil {
			t.Fatal(err)
		}
		for _, e := range b.Entries {
			found[e.Path] = e
		}
	}
	return found
}

// smallFiles are so many files of growing size.
func smallFiles(n int) treetest.Entries {
	files := treetest.Entries{}
	for i := range n {
		files[fmt.Sprint("file ", i)] = treetest.File{Content: random(i*37%20_000, uint64(i))}
	}
	return files
}

// mixed is a tree with some of everything that matters for reuse.
func mixed() treetest.Entries {
	type entries = treetest.Entries
	return entries{
		"a":     treetest.File{Content: "first"},
		"big":   treetest.File{Content: random(3<<20+5, 1)},
		"big2":  treetest.HardLink{To: "big"},
		"hole":  treetest.Sparse{Size: 8 << 20, Data: map[int64]string{4 << 20: random(2<<20, 3)}},
		"l":     treetest.Symlink{Target: "a"},
		"pipe":  treetest.FIFO{},
		"small": treetest.Dir{Entries: smallFiles(300)},
		"text":  treetest.File{Content: string(bytes.Repeat([]byte("all work and no play\n"), 100_000))},
		"x1":    treetest.File{Content: "linked"},
		"x2":    treetest.HardLink{To: "x1"},
		"z":     treetest.Dir{Entries: entries{"x3": treetest.HardLink{To: "x1"}, "end": treetest.File{Content: "end"}}},
	}
}

func TestAnUnchangedSourceIsNotRead(t *testing.T) {
	source := trusted(t, mixed())
	one := first(t, source)
	two := after(t, one.path, Options{}, source)
	r := two.result.Reuse
	// The two blocks that end the stream belong to nobody, and are made.
	if r.NewBytes != index.Alignment || r.ReusedBytes == 0 || r.DamagedFrames != 0 || r.Previous != filepath.Base(one.path) {
		t.Errorf("%+v", r)
	}
	want := one.result.Summary
	want.BytesWritten = two.result.Summary.BytesWritten
	if diff := cmp.Diff(want, two.result.Summary); diff != "" {
		t.Errorf("summary (-first +second):\n%s", diff)
	}
	if len(two.warnings) > 0 {
		t.Errorf("warnings %+v", two.warnings)
	}
	three := after(t, two.path, Options{}, source)
	if r := three.result.Reuse; r.NewBytes != index.Alignment {
		t.Errorf("the third one: %+v", r)
	}
}

func TestNoUnchangedFileIsOpened(t *testing.T) {
	source := trusted(t, mixed())
	opened := watchOpens(t, source.Path, filepath.Join(source.Path, "small"))
	one := first(t, source)
	if n := opened(); n < 300 {
		t.Fatalf("the first run opened %d files, as far as is seen", n)
	}
	afterAlone(t, one.path, Options{}, source)
	if n := opened(); n > 0 {
		t.Errorf("%d unchanged files were opened", n)
	}
}

// watchOpens returns a function that tells how often files in the directories, but no directories, have been opened since
// it was called last.
func watchOpens(t *testing.T, directories ...string) func() int {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	for _, dir := range directories {
		if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_OPEN); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 1<<20)
	return func() int {
		files := 0
		for {
			n, err := unix.Read(fd, buf)
			if n <= 0 || err != nil {
				return files
			}
			for at := 0; at+unix.SizeofInotifyEvent <= n; {
				mask, length := binary.NativeEndian.Uint32(buf[at+4:]), binary.NativeEndian.Uint32(buf[at+12:])
				if mask&unix.IN_ISDIR == 0 {
					files++
				}
				at += unix.SizeofInotifyEvent + int(length)
			}
		}
	}
}
