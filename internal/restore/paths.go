// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"fmt"
	"strings"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
)

// parentPath is the path of the directory that a path is in, empty for a source's root.
func parentPath(path string) string {
	return path[:max(0, strings.LastIndexByte(path, '/'))]
}

// baseName is the last element of a path.
func baseName(path string) string {
	return path[strings.LastIndexByte(path, '/')+1:]
}

// malformed is the error of an archive that says something about an entry that can't be.
func malformed(path, format string, args ...any) error {
	return fmt.Errorf("%w: entry %.300q "+format, append([]any{ErrMalformed, path}, args...)...)
}

// checkEntry refuses entries that no archive of this program has. last is the path of the entry before it in the same
// source, empty if that isn't known.
func checkEntry(e *index.Entry, last string) error {
	if err := tarstream.Check(e, last); err != nil {
		return malformed(e.Path, "%w", err)
	}
	return nil
}
