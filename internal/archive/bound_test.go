// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestMountPoints(t *testing.T) {
	const mountinfo = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
36 22 0:31 / /sources/da\040ta rw,relatime - nfs server:/data rw
37 36 0:32 / /sources/da\040ta/in\134side rw - tmpfs tmpfs rw
`
	points, err := mountPoints(strings.NewReader(mountinfo))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/", "/sources/da ta", `/sources/da ta/in\side`}, points); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for dir, want := range map[string]bool{
		"/": true, "/sources": true, "/sources/da ta": true, `/sources/da ta/in\side`: false, "/sources/da": false, "/other": false,
	} {
		if got := anyBelow(points, dir); got != want {
			t.Errorf("anyBelow(%q) = %v, want %v", dir, got, want)
		}
	}
	if _, err := mountPoints(strings.NewReader("nonsense\n")); err == nil {
		t.Error("nonsense was taken for mountinfo")
	}
}

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
