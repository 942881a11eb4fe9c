// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"testing"

	"golang.org/x/sys/unix"
)

// openDirectory opens a directory for a test.
func openDirectory(t *testing.T, path string) *directory {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	d := newDirectory(fd)
	t.Cleanup(d.release)
	return d
}

func TestWarningsDoNotPileUp(t *testing.T) {
	parent := openDirectory(t, t.TempDir())
	// What these files have in common is that they are opened while the walk waits, and that they are gone.
	for name, st := range map[string]stat{
		"big files":              {mode: unix.S_IFREG, nlink: 1, size: smallFile + 1},
		"files of several names": {mode: unix.S_IFREG, nlink: 2, size: 1},
		"links of several names": {mode: unix.S_IFLNK, nlink: 2, size: 1},
	} {
		t.Run(name, func(t *testing.T) {
			reported := 0
			g := &grouper{
				acquire: func() (*frame, error) { return newFrame(), nil },
				submit:  func(f *frame) { reported += len(f.warnings) },
			}
			const files = 3*flushedWarnings + 1
			for range files {
				if archived, err := g.file(item{parent: parent.use(), name: "gone", path: "data/gone", stat: st}); archived || err != nil {
					t.Fatalf("archived: %t, error %v", archived, err)
				}
				if g.current != nil && len(g.current.warnings) >= flushedWarnings {
					t.Fatalf("%d warnings are held", len(g.current.warnings))
				}
			}
			if g.flush(); reported != files {
				t.Errorf("%d warnings were reported, want %d", reported, files)
			}
		})
	}
}
