// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// onFileSystem runs a test with a new file system of a kind, as mkfs takes it with options. Only root can mount one.
func onFileSystem(t *testing.T, kind string, body func(t *testing.T, mounted string)) {
	t.Helper()
	if !isRoot {
		t.Log("file systems can be mounted by root only")
		return
	}
	tmp := t.TempDir()
	image, mounted := filepath.Join(tmp, "image"), filepath.Join(tmp, "mounted")
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(64<<20), f.Close(), os.Mkdir(mounted, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	mkfs, mount := append(strings.Fields("mkfs."+kind), "-q", "-F", image), []string{"mount", "-o", "loop", image, mounted}
	if kind == "exfat" {
		// By FUSE, as not every kernel has it.
		mkfs, mount = []string{"mkfs.exfat", image}, []string{"mount", "-t", "exfat-fuse", "-o", "loop", image, mounted}
	}
	for _, command := range [][]string{mkfs, mount} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", command, err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mounted, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	t.Run(strings.ReplaceAll(kind, " ", ""), func(t *testing.T) { body(t, mounted) })
}
