// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// place is a directory with the flag that it was given by.
type place struct{ flag, path string }

// checkOverlap returns an error if a directory that is written is inside one that is read, or the other way about, or
// inside the other one that is written: a backup would swallow earlier backups, or retention would see what it must
// not. It looks at what directories really are, whatever symbolic links or bind mounts they are reached by.
func checkOverlap(written, read []place) error {
	for i, w := range written {
		for _, other := range append(read[:len(read):len(read)], written[i+1:]...) {
			a, b := resolve(w.path), resolve(other.path)
			if contains(a, b) || contains(b, a) {
				return fmt.Errorf("%s %s and %s %s are one directory, or one is inside the other: give directories apart from "+
					"each other", w.flag, w.path, other.flag, other.path)
			}
		}
	}
	return nil
}

// resolve follows the symbolic links of a path as far as it can be reached; what is yet to be made, or can't be
// reached, as on a remote file system that is away, is appended as it is. Whoever goes there will see what is wrong.
func resolve(path string) string {
	path = filepath.Clean(path)
	resolved, err := filepath.EvalSymlinks(path)
	if err == nil || path == "/" {
		return cmp.Or(resolved, path)
	}
	return filepath.Join(resolve(filepath.Dir(path)), filepath.Base(path))
}

// contains reports whether the resolved path inner is outer or below it. Directories are compared by device and inode
// as well as by name, because a bind mount gives one directory two names.
func contains(outer, inner string) bool {
	if inner == outer || strings.HasPrefix(inner, strings.TrimSuffix(outer, "/")+"/") {
		return true
	}
	fi, err := os.Stat(outer)
	if err != nil {
		return false // It doesn't exist yet, so nothing that exists is below it.
	}
	for dir := inner; ; dir = filepath.Dir(dir) {
		if other, err := os.Stat(dir); err == nil && os.SameFile(fi, other) {
			return true
		}
		if dir == "/" {
			return false
		}
	}
}
