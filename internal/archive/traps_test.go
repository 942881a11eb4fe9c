// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/treetest"
	"golang.org/x/sys/unix"
)

// Files that look as if they were unchanged and aren't. In each of these tests the previous archive holds something that
// must not be taken over, and after compares with an archive made without it.

// overwrite writes into a file, in place.
func overwrite(t *testing.T, path string, offset int64, content string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(content), offset); err != nil {
		t.Fatal(err)
	}
}

// tick waits until the file system marks changes with another time than the file's.
func tick(t *testing.T, path string) {
	t.Helper()
	dir := trustedDir(t)
	for n := 0; ; n++ {
		probe := filepath.Join(dir, "probe")
		if err := os.WriteFile(probe, []byte{byte(n)}, 0o600); err != nil {
			t.Fatal(err)
		}
		if statOf(t, probe).ctime.after(statOf(t, path).ctime) {
			return
		}
	}
}

func statOf(t *testing.T, path string) stat {
	t.Helper()
	st, err := lstatAt(unix.AT_FDCWD, path)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestSameSizeAndModTimeButOtherContent(t *testing.T) {
	for name, size := range map[string]int{"small": 1000, "big": smallFile + 1000} {
		t.Run(name, func(t *testing.T) {
			source := trusted(t, treetest.Entries{"f": treetest.File{Content: random(size, 1)}, "g": treetest.File{Content: "g"}})
			path := filepath.Join(source.Path, "f")
			one := first(t, source)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			tick(t, path)
			overwrite(t, path, 500, "other")
			if err := os.Chtimes(path, time.Time{}, info.ModTime()); err != nil {
				t.Fatal(err)
			}
			after(t, one.path, Options{}, source)
		})
	}
}

// TestADirectoryThatTookAnothersPlace: neither of the files is touched, so no time of theirs moves, and the inode number
// alone tells one from the other.
func TestADirectoryThatTookAnothersPlace(t *testing.T) {
	source := trusted(t, treetest.Entries{
		"d1": treetest.Dir{Entries: treetest.Entries{"f": treetest.File{Content: random(smallFile+1, 1)}}},
		"d2": treetest.Dir{Entries: treetest.Entries{"f": treetest.File{Content: random(smallFile+1, 2)}}},
	})
	at := func(name string) string { return filepath.Join(source.Path, name) }
	for {
		for _, name := range []string{"d1/f", "d2/f"} {
			if err := treetest.SetModTime(at(name), time.Unix(1_600_000_000, 0)); err != nil {
				t.Fatal(err)
			}
		}
		if statOf(t, at("d1/f")).ctime == statOf(t, at("d2/f")).ctime {
			break
		}
	}
	one := first(t, source)
	for _, move := range [][2]string{{"d1", "x"}, {"d2", "d1"}, {"x", "d2"}} {
		if err := os.Rename(at(move[0]), at(move[1])); err != nil {
			t.Fatal(err)
		}
	}
	after(t, one.path, Options{}, source)
}

// TestStoresThroughASharedMapping: the first store into a page marks the file as changed; those that follow don't, until
// the page is written to the disk.
func TestStoresThroughASharedMapping(t *testing.T) {
	source := trusted(t, treetest.Entries{"f": treetest.File{Content: random(8192, 1)}})
	path := filepath.Join(source.Path, "f")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mapped, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(mapped) }()
	copy(mapped, "before")
	one := written{path: filepath.Join(t.TempDir(), "one")}
	writeTo(t, one.path, "", Options{now: later}, source)
	tick(t, path)
	copy(mapped, "after ")
	two := afterAlone(t, one.path, Options{}, source)
	if got := two.members(t)["data/f"][:6]; got != "after " {
		t.Errorf("the file holds %q, and the archive %q", "after ", got)
	}
}

// TestRacyFilesAreNotTrusted: what changed just before a run began is read once more, for it may have changed again
// within the same tick of the clock after it was read.
func TestRacyFilesAreNotTrusted(t *testing.T) {
	source := trusted(t, treetest.Entries{"f": treetest.File{Content: "racy"}, "big": treetest.File{Content: random(smallFile+1, 1)}})
	opened := watchOpens(t, source.Path)
	began := time.Now()
	one := write(t, Options{now: func() time.Time { return began }}, source)
	for path, e := range one.entries(t) {
		if e.Is(index.Settled) {
			t.Errorf("%s is settled", path)
		}
	}
	opened()
	two := afterAlone(t, one.path, Options{}, source)
	if opened() == 0 {
		t.Error("racy files were trusted")
	}
	// They are the same nevertheless, and stored once.
	if r := two.result.Reuse; r.NewBytes != index.Alignment {
		t.Errorf("%+v", r)
	}
}

func TestFilesOnUntrueFileSystemsAreNotTrusted(t *testing.T) {
	e, it := settledEntry()
	margin, truthful := marginOf(unix.TMPFS_MAGIC)
	it.volume = &volume{truthful: truthful, horizon: index.Time{Sec: 1e6 - int64(margin)}}
	if made := newEntry(&it, &it.stat, index.Regular); made.Is(index.Settled) || unchanged(&e, &it) {
		t.Error("a file in tmpfs is trusted")
	}
}

func TestAFileThatChangedWhileItWasReadIsNotTrusted(t *testing.T) {
	const size = 32 << 20
	source := trusted(t, treetest.Entries{"a": treetest.File{Content: random(size, 1)}, "b": treetest.File{Content: "b"}})
	opts := once(func() { overwrite(t, filepath.Join(source.Path, "a"), size-3, "end") })
	opts.now = later
	one := write(t, opts, source)
	found := one.entries(t)
	if a, b := found["data/a"], found["data/b"]; a.Is(index.Settled) || !a.Is(index.Mixed) || a.Is(index.Flawed) || !b.Is(index.Settled) || b.Is(index.Mixed) {
		t.Errorf("flags: a %b, b %b", a.Flags, b.Flags)
	}
	after(t, one.path, Options{}, source)
}

// TestWhatIsGoneIsNotTakenOver: frames are taken over as a whole, so none may hold what isn't there any more.
func TestWhatIsGoneIsNotTakenOver(t *testing.T) {
	source := trusted(t, mixed())
	one := first(t, source)
	for _, name := range []string{"a", "small/file 7", "big", "z/end"} {
		if err := os.Remove(filepath.Join(source.Path, name)); err != nil {
			t.Fatal(err)
		}
		two := after(t, one.path, Options{}, source)
		if two.result.Reuse.ReusedBytes == 0 {
			t.Error("nothing is reused any more")
		}
	}
}

func TestAGrowingLogIsStoredOnce(t *testing.T) {
	source := trusted(t, treetest.Entries{"log": treetest.File{Content: random(8<<20+100, 1)}})
	one := first(t, source)
	path := filepath.Join(source.Path, "log")
	overwrite(t, path, 8<<20+100, "one line more\n")
	two := after(t, one.path, Options{}, source)
	// The chunk that grew, the header's group, and the end.
	if r := two.result.Reuse; r.ReusedBytes < 8<<20 || r.NewBytes > 4*index.Alignment {
		t.Errorf("%+v", r)
	}
}

// TestARestoredSourceIsStoredOnce: all inode numbers and change times are others, but the content is the same.
func TestARestoredSourceIsStoredOnce(t *testing.T) {
	source := trusted(t, mixed())
	one := first(t, source)
	copied := filepath.Join(trustedDir(t), "copy")
	run(t, "cp", "-a", source.Path, copied)
	two := after(t, one.path, Options{}, Source{Name: "data", Path: copied})
	if r := two.result.Reuse; r.NewBytes != index.Alignment {
		t.Errorf("%+v", r)
	}
	opened := watchOpens(t, copied, filepath.Join(copied, "small"))
	afterAlone(t, two.path, Options{}, Source{Name: "data", Path: copied})
	if n := opened(); n > 0 {
		t.Errorf("%d files that were compared are read once more", n)
	}
}

// TestHolesMayBeToldInAnotherWay: where a file system has reserved space, it takes what is in the page cache for data,
// and the rest for holes. So the map of the same file may be another one from run to run, though nothing of it changed.
func TestHolesMayBeToldInAnotherWay(t *testing.T) {
	reflinked(t, func(t *testing.T, dir string) {
		root := filepath.Join(dir, "source")
		treetest.Build(t, root, treetest.Dir{Entries: treetest.Entries{"a": treetest.File{Content: "a"}}})
		source := Source{Name: "data", Path: root}
		f, err := os.Create(filepath.Join(root, "f"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := unix.Fallocate(int(f.Fd()), 0, 0, 8<<20); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte(random(3<<20, 1)), 4<<20); err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(16 << 20); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
		writeTo(t, one, "", Options{now: later}, source)
		if _, err := f.ReadAt(make([]byte, 2<<20), 1<<20); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "a"), []byte("in the same group"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := writeTo(t, two, one, Options{now: later}, source)
		written{path: two, result: r}.checkIndex(t)
		target := t.TempDir()
		run(t, "tar", "--zstd", "-xpf", two, "-C", target)
		treetest.AssertEqualBut(t, root, filepath.Join(target, "data"), func(string) bool { return false })
	})
}
