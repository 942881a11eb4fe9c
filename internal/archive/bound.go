// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// boundFactor allows for file systems that compress, or store a block once that is in several files.
	boundFactor = 2
	// boundPerFile allows for what an archive has of a file besides its content.
	boundPerFile = 1 << 10
)

// Bound returns how much space an archive of the sources can take at most, as what their file systems say of themselves
// tells without a look at any file. It is far more than will be needed, mostly: enough to know that there is enough, where
// there is. It is false where file systems can't tell: where others are mounted below a source.
func Bound(sources []Source) (int64, bool) {
	mounts, err := readMounts()
	if err != nil {
		return 0, false
	}
	counted := map[unix.Fsid]bool{}
	bound := int64(0)
	for _, s := range sources {
		path, err := filepath.EvalSymlinks(s.Path)
		if err != nil || anyBelow(mounts, path) {
			return 0, false
		}
		var stat unix.Statfs_t
		if err := retry(func() error { return unix.Statfs(path, &stat) }); err != nil {
			return 0, false
		}
		// A file system that has no number of its own is counted for each source.
		if none := (unix.Fsid{}); stat.Fsid != none && counted[stat.Fsid] {
			continue
		}
		counted[stat.Fsid] = true
		bound += boundFactor*int64(stat.Blocks-stat.Bfree)*stat.Frsize + boundPerFile*int64(stat.Files-min(stat.Ffree, stat.Files))
	}
	return bound + endsCost, true
}

// anyBelow tells whether something is mounted below a directory.
func anyBelow(mounts []mounted, dir string) bool {
	return slices.ContainsFunc(mounts, func(m mounted) bool {
		below, ok := strings.CutPrefix(m.point, strings.TrimSuffix(dir, "/")+"/")
		return ok && below != ""
	})
}
