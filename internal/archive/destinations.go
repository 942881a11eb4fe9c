// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// destinations are the directories that a run writes to, with the paths that it knows them by. A storage may be mounted
// inside a source as well, so paths can't tell, but what is mounted twice is the same file.
type destinations map[fileID]string

// findDestinations looks the directories up. What isn't there or can't be reached holds nothing that could be archived
// by mistake, and is for the run to complain of when it goes there.
func findDestinations(paths []string) destinations {
	found := destinations{}
	for _, path := range paths {
		var s unix.Stat_t
		if err := retry(func() error { return unix.Stat(path, &s) }); err == nil {
			found[newStat(&s).id] = path
		}
	}
	return found
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
