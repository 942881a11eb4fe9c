// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// inMountNamespace runs the rest of a test where it may mount file systems that vanish with it. It takes root.
func inMountNamespace(t *testing.T, body func()) {
	t.Helper()
	if !isRoot {
		t.Log("file systems can be mounted by root only")
		return
	}
	inChild(t, t.Name(), syscall.CLONE_NEWNS, func() {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		body()
	})
}

func mountAt(t *testing.T, source, dir, kind string, flags uintptr) {
	t.Helper()
	if err := unix.Mount(source, dir, kind, flags, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// TestFileSystemsInsideASourceAreRecorded: a bind mount of the source's own file system is one too, though its device
// doesn't show it.
func TestFileSystemsInsideASourceAreRecorded(t *testing.T) {
	inMountNamespace(t, func() {
		root := built(t, treetest.Dir{Entries: treetest.Entries{
			"file": treetest.File{Content: "outside"},
			"deep": treetest.Dir{Entries: treetest.Entries{
				"tmpfs": treetest.Dir{Entries: treetest.Entries{"placeholder": treetest.File{Content: "not mounted"}}},
			}},
			"bind":  treetest.Dir{},
			"other": treetest.Dir{Entries: treetest.Entries{"a": treetest.File{Content: "12345"}}},
		}})
		nested, bind := filepath.Join(root, "deep", "tmpfs"), filepath.Join(root, "bind")
		mountAt(t, "tmpfs", nested, "tmpfs", 0)
		mountAt(t, filepath.Join(root, "other"), bind, "", unix.MS_BIND)
		for _, name := range []string{"one", "two"} {
			if err := os.WriteFile(filepath.Join(nested, name), []byte("abc"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		summaryOf := func(known ...string) SourceSummary {
			r := writeTo(t, filepath.Join(t.TempDir(), "archive"), "", Options{}, Source{Name: "data", Path: root, FileSystems: known})
			return r.Summary.Sources[0]
		}
		all := []FileSystem{{Path: "bind", Files: 1, Bytes: 5}, {Path: "deep/tmpfs", Files: 2, Bytes: 6}}
		s := summaryOf("deep/tmpfs", "never/there")
		if diff := cmp.Diff(all, s.FileSystems); diff != "" || s.OwnFileSystem {
			t.Errorf("mounted; a file system of its own: %t (-want +got)\n%s", s.OwnFileSystem, diff)
		}
		if err := unix.Unmount(nested, 0); err != nil {
			t.Fatal(err)
		}
		all[1] = FileSystem{Path: "deep/tmpfs", Gone: true, Files: 1, Bytes: int64(len("not mounted"))}
		if diff := cmp.Diff(all, summaryOf("bind", "deep/tmpfs").FileSystems); diff != "" {
			t.Errorf("unmounted (-want +got)\n%s", diff)
		}
		if diff := cmp.Diff(all[:1], summaryOf().FileSystems); diff != "" {
			t.Errorf("never known (-want +got)\n%s", diff)
		}
	})
}

func TestASourceThatIsAVolumeIsRecorded(t *testing.T) {
	inMountNamespace(t, func() {
		volume, pod, plain := t.TempDir(), t.TempDir(), t.TempDir()
		mountAt(t, "tmpfs", volume, "tmpfs", 0)
		if err := os.Mkdir(filepath.Join(volume, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
		mountAt(t, volume, pod, "", unix.MS_BIND)
		mountAt(t, filepath.Join(volume, "sub"), plain, "", unix.MS_BIND)
		for dir, want := range map[string]bool{
			volume: true, pod: true, plain: false, filepath.Join(volume, "sub"): false, t.TempDir(): false,
		} {
			r := writeTo(t, filepath.Join(t.TempDir(), "archive"), "", Options{}, Source{Name: "data", Path: dir})
			if got := r.Summary.Sources[0].OwnFileSystem; got != want {
				t.Errorf("%s: %t, want %t", dir, got, want)
			}
		}
	})
}
