// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAStorageMountedInsideASourceDoesNotSwallowBackups(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	b := newBench(t)
	b.fill(3, 100_000)
	// The volumes of the backups and of the mirror are mounted inside the source as well. Their paths don't tell.
	for _, dir := range []*string{&b.backups, &b.mirror} {
		volume, inside := *dir, filepath.Join(b.source, "mnt", filepath.Base(*dir))
		b.mount(volume, 16*mib)
		b.must(os.MkdirAll(inside, 0o700))
		b.must(unix.Mount(volume, inside, "", unix.MS_BIND, ""))
		t.Cleanup(func() { _ = unix.Unmount(inside, unix.MNT_DETACH) })
		*dir = filepath.Join(volume, "appliance")
		b.must(os.Mkdir(*dir, 0o700))
	}
	var first int64
	for i := range b.keep {
		r := b.run(0)
		if r.Warnings == nil || r.Warnings.Count != 2 || !strings.Contains(strings.Join(r.Warnings.First, "\n"), b.backups) {
			t.Errorf("run %d: warnings %+v", i, r.Warnings)
		}
		if i == 0 {
			first = r.Archive.BytesRead
		}
		if r.Archive.Files != 3 || r.Archive.BytesRead != first {
			t.Errorf("run %d archived %d files of %d bytes: earlier backups are in it", i, r.Archive.Files, r.Archive.BytesRead)
		}
	}
	if here, there := b.good(b.backups), b.good(b.mirror); len(here) != b.keep || len(there) != b.keep {
		t.Errorf("backups %v, mirror %v", here, there)
	}
}
