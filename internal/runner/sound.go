// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"path/filepath"

	"appliance.io/backup-operator/internal/catalog"
)

// examine returns the function that examines backups of a directory. Each is examined once in a run.
func (r *run) examine(d *directory) func(catalog.Backup) catalog.Backup {
	return func(b catalog.Backup) catalog.Backup {
		path := filepath.Join(d.path, b.File)
		if !b.Good() {
			return b
		}
		if known, ok := r.examined[path]; ok {
			return known
		}
		now, err := look(d, func() (catalog.Backup, error) { return catalog.Examine(d.path, b), nil })
		if err != nil {
			now = b
			now.State, now.Err = catalog.Damaged, err // It can't be relied on, for all one knows.
			return now
		}
		if !now.Good() {
			r.log.Warn("the archive is damaged and does not count", "directory", d.path, "archive", b.File, "error", now.Err)
		}
		r.examined[path] = now
		return now
	}
}

// withExamined returns a listing of a directory with what the run has found out about it since.
func (r *run) withExamined(d *directory, backups []catalog.Backup) []catalog.Backup {
	for i, b := range backups {
		if known, ok := r.examined[filepath.Join(d.path, b.File)]; ok && b.Good() {
			backups[i] = known
		}
	}
	return backups
}

// distrustPrevious records that the archive that was reused turned out to be damaged in its data, so that it doesn't count
// any more.
func (r *run) distrustPrevious() {
	if r.previous == nil {
		return
	}
	path := r.previous.Name()
	for _, b := range r.here {
		if b.File == filepath.Base(path) {
			b.State, b.Err = catalog.Damaged, errors.New("data in it is not what was written")
			r.examined[path] = b
		}
	}
}
