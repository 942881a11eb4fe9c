// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/treetest"
	"golang.org/x/sys/unix"
)

func isErrno(err error, errno unix.Errno) bool { return errors.Is(err, errno) }

// reflinked runs a test on file systems that share blocks, in a process whose mounts go with it, however it ends. It
// takes root to mount them; others get the rest of the test in an ordinary directory of theirs.
func reflinked(t *testing.T, body func(t *testing.T, dir string)) {
	t.Helper()
	if !isRoot {
		t.Log("file systems that share blocks can be made by root only")
		return
	}
	inChild(t, t.Name(), syscall.CLONE_NEWNS, func() {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"xfs", "btrfs"} {
			t.Run(kind, func(t *testing.T) { body(t, mountNew(t, kind)) })
		}
	})
}

// mountNew makes a file system in a file and mounts it.
func mountNew(t *testing.T, kind string) string {
	t.Helper()
	tmp := t.TempDir()
	image, dir := filepath.Join(tmp, "image"), filepath.Join(tmp, kind)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(1<<30), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"mkfs." + kind, "-q", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", command, err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// writeTo writes an archive to a path, after another one if there is a path to that.
func writeTo(t *testing.T, path, previous string, opts Options, sources ...Source) Result {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if previous != "" {
		if opts.Previous, err = os.Open(previous); err != nil {
			t.Fatal(err)
		}
		defer opts.Previous.Close()
	}
	r, err := Write(t.Context(), f, sources, opts)
	if err != nil {
		t.Fatalf("write archive: %v", err)
	}
	return r
}

func TestArchivesShareTheirBlocks(t *testing.T) {
	reflinked(t, func(t *testing.T, dir string) {
		root := filepath.Join(dir, "source")
		treetest.Build(t, root, treetest.Dir{Entries: mixed()})
		source := Source{Name: "data", Path: root}
		one, two, alone := filepath.Join(dir, "one"), filepath.Join(dir, "two"), filepath.Join(dir, "alone")
		writeTo(t, one, "", Options{now: later}, source)
		if err := os.WriteFile(filepath.Join(root, "small", "file 5"), []byte("changed"), 0o600); err != nil {
			t.Fatal(err)
		}
		previous, err := os.Open(one)
		if err != nil {
			t.Fatal(err)
		}
		defer previous.Close()
		m, err := Measure(t.Context(), []Source{source}, MeasureOptions{Previous: previous, Target: dir, now: later})
		if err != nil {
			t.Fatal(err)
		}
		free := freeBytes(t, dir)
		r := writeTo(t, two, one, Options{now: later}, source)
		if r.Reuse.Method != MethodReflink || r.Reuse.SharedBytes != r.Reuse.ReusedBytes || r.Reuse.SharedBytes < 6<<20 {
			t.Errorf("%+v", r.Reuse)
		}
		used := free - freeBytes(t, dir)
		if fresh := r.Size - r.Reuse.SharedBytes; used > fresh+1<<20 {
			t.Errorf("%d bytes of space for %d new ones", used, fresh)
		}
		if m.EstimatedBytes < r.Size-r.Reuse.SharedBytes || m.EstimatedBytes > r.Size-r.Reuse.SharedBytes+2<<20 {
			t.Errorf("estimated %d bytes, and %d were new", m.EstimatedBytes, r.Size-r.Reuse.SharedBytes)
		}
		writeTo(t, alone, "", Options{}, source)
		if !bytes.Equal(written{path: two}.tarBytes(t), written{path: alone}.tarBytes(t)) {
			t.Error("sharing changes the tar stream")
		}
		written{path: two, result: r}.checkIndex(t)
	})
}

// freeBytes is the free space when all that was written is on the disk.
func freeBytes(t *testing.T, dir string) int64 {
	t.Helper()
	d := openDirectory(t, dir)
	if err := unix.Syncfs(d.fd); err != nil {
		t.Fatal(err)
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bfree) * s.Bsize
}

// pair are two files in a directory, of which the second is empty.
func pair(t *testing.T, dir string) (src, dst *os.File, content []byte) {
	t.Helper()
	content = []byte(random(64<<10, 1))
	if err := os.WriteFile(filepath.Join(dir, "src"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := os.Open(filepath.Join(dir, "src"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = src.Close() })
	dst, err = os.Create(filepath.Join(dir, "dst"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dst.Close() })
	return src, dst, content
}

func TestRangesGetAcross(t *testing.T) {
	body := func(t *testing.T, dir string, want string) {
		for _, method := range []string{MethodReflink, MethodServerCopy, MethodCopy} {
			src, dst, content := pair(t, dir)
			by, err := transfer(dst, src, span{from: 8192, to: 4096, length: 16384}, method)
			got, readErr := os.ReadFile(dst.Name())
			if err != nil || readErr != nil || !bytes.Equal(got, append(make([]byte, 4096), content[8192:8192+16384]...)) {
				t.Errorf("%s: errors %v, %v", method, err, readErr)
			}
			if method == MethodReflink && by != want || method == MethodServerCopy && by != method {
				t.Errorf("%s was done by %s", method, by)
			}
		}
	}
	body(t, t.TempDir(), MethodCopy)
	reflinked(t, func(t *testing.T, dir string) { body(t, dir, MethodReflink) })
}

func TestARangeThatIsNotThereIsThePreviousArchivesFault(t *testing.T) {
	for _, method := range []string{MethodReflink, MethodServerCopy, MethodCopy} {
		src, dst, _ := pair(t, t.TempDir())
		if _, err := transfer(dst, src, span{from: 60 << 10, length: 16 << 10}, method); !errors.Is(err, errPrevious) {
			t.Errorf("%s: error %v", method, err)
		}
	}
}

func TestTryingAMethodLeavesNothing(t *testing.T) {
	body := func(t *testing.T, dir, want string) {
		src, dst, _ := pair(t, dir)
		head := make([]byte, index.Alignment)
		if _, err := dst.Write(head); err != nil {
			t.Fatal(err)
		}
		method, err := findMethod(dst, src, index.Alignment)
		got, readErr := os.ReadFile(dst.Name())
		if method != want || err != nil || readErr != nil || !bytes.Equal(got, head) {
			t.Errorf("%s, errors %v, %v; %d bytes", method, err, readErr, len(got))
		}
	}
	reflinked(t, func(t *testing.T, dir string) { body(t, dir, MethodReflink) })
	if dir := t.TempDir(); onExt(t, dir) {
		body(t, dir, MethodCopy)
	}
}

func onExt(t *testing.T, dir string) bool {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return s.Type == unix.EXT4_SUPER_MAGIC
}

func TestNeighbouringFramesAreOneRange(t *testing.T) {
	src, dst, content := pair(t, t.TempDir())
	o := &output{file: dst, from: src, method: MethodCopy}
	for _, step := range []func() error{
		func() error { return o.take(4096, 4096) },
		func() error { return o.take(8192, 4096) },
		func() error { return o.take(0, 4096) },
		func() error { return o.write([]byte("between")) },
		func() error { return o.take(12288, 4096) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if want := (span{from: 12288, to: 12288 + 7, length: 4096}); o.span != want {
		t.Errorf("pending is %+v, want %+v", o.span, want)
	}
	if err := o.flush(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(dst.Name())
	want := append([]byte(nil), content[4096:12288]...)
	want = append(append(append(want, content[:4096]...), "between"...), content[12288:16384]...)
	if err != nil || !bytes.Equal(got, want) || o.size != int64(len(want)) {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
}
