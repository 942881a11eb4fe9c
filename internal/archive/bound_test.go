// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Two sources on one file system aren't counted twice, and one with another file system in it isn't judged at all.
func TestBoundIsWhatTheFileSystemsHold(t *testing.T) {
	volume := t.TempDir()
	mount(t, volume)
	for _, dir := range []string{"a", "b", "b/mounted"} {
		if err := os.Mkdir(filepath.Join(volume, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const size = 8 << 20
	if err := os.WriteFile(filepath.Join(volume, "a", "file"), make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
	a, b := Source{Name: "a", Path: filepath.Join(volume, "a")}, Source{Name: "b", Path: filepath.Join(volume, "b")}
	one, ok := Bound([]Source{a})
	if !ok || one < size || one > 3*size {
		t.Errorf("a file system that holds %d bytes: got %d, %v", size, one, ok)
	}
	if both, ok := Bound([]Source{a, b}); !ok || both != one {
		t.Errorf("two directories of it: got %d, %v, want %d", both, ok, one)
	}
	mount(t, filepath.Join(b.Path, "mounted"))
	if bound, ok := Bound([]Source{a, b}); ok {
		t.Errorf("one with another file system in it: got %d, and it can't be known", bound)
	}
	if bound, ok := Bound([]Source{{Name: "c", Path: filepath.Join(volume, "missing")}}); ok {
		t.Errorf("a source that isn't there: got %d", bound)
	}
}

// mount mounts an empty file system in memory.
func mount(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Fatalf("mount: %v (the tests run as root)", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
}
