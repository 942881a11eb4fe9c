// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// OutputDirectory is a directory that a run writes to. A storage may be mounted inside a source as well, so its path can't
// identify it, but what is mounted twice is the same file.
type OutputDirectory struct {
	path string
	id   fileID
}

// FindOutputDirectory looks a directory up.
func FindOutputDirectory(path string) (OutputDirectory, error) {
	var s unix.Stat_t
	if err := retry(func() error { return unix.Stat(path, &s) }); err != nil {
		return OutputDirectory{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return OutputDirectory{path, newStat(&s).id}, nil
}

// destinations are the paths of the directories that a run writes to.
type destinations map[fileID]string

func newDestinations(list []OutputDirectory) destinations {
	d := destinations{}
	for _, to := range list {
		d[to.id] = to.path
	}
	return d
}

// check returns an error if a source as a whole is one of them.
func (d destinations) check(t *tree) error {
	st, err := fstat(t.root.fd)
	if err != nil {
		return fmt.Errorf("%w %q: stat: %w", ErrInvalidSource, t.name, err)
	}
	if path, ok := d[st.id]; ok {
		return fmt.Errorf("%w %q: it is the directory %s that the run writes to; give directories apart from each other",
			ErrInvalidSource, t.name, path)
	}
	return nil
}
