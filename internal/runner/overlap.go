// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
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
			overlaps, err := overlap(w.path, other.path)
			if err != nil {
				return err
			}
			if overlaps {
				return fmt.Errorf("%s %s and %s %s are one directory, or one is inside the other: give directories apart from each other",
					w.flag, w.path, other.flag, other.path)
			}
		}
	}
	return nil
}

func overlap(a, b string) (bool, error) {
	a, err := resolve(a)
	if err != nil {
		return false, err
	}
	if b, err = resolve(b); err != nil {
		return false, err
	}
	return contains(a, b) || contains(b, a), nil
}

// resolve follows the symbolic links of a path as far as it exists; what is yet to be made is appended.
func resolve(path string) (string, error) {
	path = filepath.Clean(path)
	resolved, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) && path != "/" {
		parent, err := resolve(filepath.Dir(path))
		return filepath.Join(parent, filepath.Base(path)), err
	}
	return resolved, err
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
