// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestUnreadableFilesAreIncomplete(t *testing.T) {
	if isRoot {
		asNobody(t, "TestUnreadableFilesAreIncomplete")
		return
	}
	root := built(t, treetest.Dir{Entries: treetest.Entries{
		"a":        treetest.File{Content: "fine"},
		"file":     treetest.File{Content: "x", Meta: treetest.Meta{Mode: 0o200}},
		"big":      treetest.File{Content: random(smallFile+1, 1), Meta: treetest.Meta{Mode: 0o200}},
		"first":    treetest.File{Content: "x", Meta: treetest.Meta{Mode: 0o200}},
		"second":   treetest.HardLink{To: "first"},
		"unlisted": treetest.Dir{Entries: treetest.Entries{"x": treetest.File{}}, Meta: treetest.Meta{Mode: 0o300}},
		"unopened": treetest.Dir{Entries: treetest.Entries{"x": treetest.File{}}, Meta: treetest.Meta{Mode: 0o600}},
		"z":        treetest.File{Content: "fine"},
	}})
	t.Cleanup(func() {
		for _, name := range []string{"unlisted", "unopened"} {
			if err := os.Chmod(filepath.Join(root, name), 0o700); err != nil {
				t.Error(err)
			}
		}
	})
	w := write(t, Options{}, Source{Name: "data", Path: root})
	want := map[string]WarningKind{
		"file": Unreadable, "big": Unreadable, "first": Unreadable, "second": Unreadable,
		"unlisted": Unreadable, "unopened/x": Unreadable,
	}
	if diff := cmp.Diff(want, kinds(w.warnings)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if s := w.result.Summary; s.Complete || s.Warnings.Unreadable != 6 {
		t.Errorf("summary %+v", s)
	}
	wantMembers := map[string]string{"data/": "", "data/a": "fine", "data/unlisted/": "", "data/unopened/": "", "data/z": "fine"}
	if diff := cmp.Diff(wantMembers, w.members(t)); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
}

// asNobody runs a test once more in a process without root's rights, under which all files can be read.
func asNobody(t *testing.T, name string) {
	t.Helper()
	tmp, err := os.MkdirTemp("", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	const nobody = 65534
	if err := os.Chown(tmp, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	// The program's own path may lead through directories that are closed to others.
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+name+"$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+name)) {
		t.Errorf("without root's rights: %v\n%s", err, out)
	}
}

func TestCancelStops(t *testing.T) {
	root := built(t, treetest.Dir{Entries: treetest.Entries{"f": treetest.File{Content: random(64<<20, 1)}}})
	before := openFiles(t)
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	opts := once(func() { cancel(stop) })
	w, err := tryWrite(t, ctx, opts, Source{Name: "data", Path: root})
	if !errors.Is(err, stop) {
		t.Errorf("got error %v, want %v", err, stop)
	}
	if st, err := os.Stat(w.path); err != nil || st.Size() > 2<<20 {
		t.Errorf("it went on to write: %d bytes, %v", st.Size(), err)
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d files were open before, %d after", before, after)
	}
}

func TestCancelledBeforeItBegins(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tryWrite(t, ctx, Options{}, Source{Name: "data", Path: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
}

func TestNothingStaysOpen(t *testing.T) {
	root := built(t, corpus())
	before := openFiles(t)
	write(t, Options{}, Source{Name: "data", Path: root})
	if _, err := Measure(t.Context(), []Source{{Name: "data", Path: root}}, MeasureOptions{}); err != nil {
		t.Fatal(err)
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d files were open before, %d after", before, after)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func TestNoSpaceIsTold(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if _, err := Write(t.Context(), full, []Source{{Name: "data", Path: t.TempDir()}}, Options{}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got error %v, want %v", err, unix.ENOSPC)
	}
}

func TestSpaceRunsOutInMidWrite(t *testing.T) {
	if !isRoot {
		// Without root there is no small file system to be had, but a limit on the size of files ends a write just so.
		inChild(t, "TestSpaceRunsOutInMidWrite", 0, func() { limitedWrite(t) })
		return
	}
	inChild(t, "TestSpaceRunsOutInMidWrite", syscall.CLONE_NEWNS, func() { fullTmpfs(t) })
}

// inChild runs body in a process of its own, perhaps in namespaces of its own.
func inChild(t *testing.T, name string, namespaces uintptr, body func()) {
	t.Helper()
	if os.Getenv("ARCHIVE_TEST_CHILD") != "" {
		body()
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+name+"$", "-test.v")
	cmd.Env = append(os.Environ(), "ARCHIVE_TEST_CHILD=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: "+name)) {
		t.Errorf("in a process of its own: %v\n%s", err, out)
	}
}

func limitedWrite(t *testing.T) {
	root := built(t, treetest.Dir{Entries: treetest.Entries{"f": treetest.File{Content: random(16<<20, 1)}}})
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4 << 20, Max: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	if _, err := tryWrite(t, t.Context(), Options{}, Source{Name: "data", Path: root}); !errors.Is(err, unix.EFBIG) {
		t.Errorf("got error %v, want %v", err, unix.EFBIG)
	}
}

func fullTmpfs(t *testing.T) {
	root := built(t, treetest.Dir{Entries: treetest.Entries{"f": treetest.File{Content: random(16<<20, 1)}}})
	small := t.TempDir()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(small, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	f, err := os.Create(filepath.Join(small, "archive"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Write(t.Context(), f, []Source{{Name: "data", Path: root}}, Options{}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got error %v, want %v", err, unix.ENOSPC)
	}
}
