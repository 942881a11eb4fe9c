// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// roots are the directories that sources are restored into, by their sources.
type roots map[string]*root

// root is a source's own directory in the target. The user named it, so it may be a link to a directory.
type root struct {
	path     string
	nofollow bool     // the archive named its last element, so it must not be one
	file     *os.File // nil while there is no such directory
	empty    bool     // nothing was in it when the restore began
	made     bool     // it wasn't there
}

// openRoots opens and locks the directories of the sources that are to be restored, as far as they exist.
func openRoots(l *lookup, opts *Options) (_ roots, err error) {
	paths, err := targetsOf(l, opts)
	if err != nil {
		return nil, err
	}
	rs := roots{}
	defer func() {
		if err != nil {
			rs.close()
		}
	}()
	for _, source := range slices.Sorted(maps.Keys(paths)) {
		r := &root{path: paths[source], nofollow: opts.Target != ""}
		rs[source] = r
		if err := r.open(); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("source %q: %w", source, err)
		}
	}
	return rs, nil
}

// targetsOf are the directories by their sources.
func targetsOf(l *lookup, opts *Options) (map[string]string, error) {
	switch {
	case opts.Target != "" && len(opts.Targets) > 0:
		return nil, fmt.Errorf("%w: give one directory for everything, or one for each source", ErrInvalidTarget)
	case opts.Target != "":
		paths := map[string]string{}
		for _, source := range l.sources {
			paths[source] = filepath.Join(opts.Target, source)
		}
		return paths, nil
	case len(opts.Targets) == 0:
		return nil, fmt.Errorf("%w: there is none; give at least one", ErrInvalidTarget)
	}
	for source, path := range opts.Targets {
		if !slices.Contains(l.sources, source) {
			return nil, fmt.Errorf("%w %q: the backup has no such source, but %s", ErrInvalidTarget, source,
				strings.Join(l.sources, ", "))
		}
		for other, path2 := range opts.Targets {
			if source != other && filepath.Clean(path) == filepath.Clean(path2) {
				return nil, fmt.Errorf("%w %s: it is given for %q and for %q; they need one each", ErrInvalidTarget, path, source, other)
			}
		}
	}
	return opts.Targets, nil
}

// open opens and locks the directory if it exists.
func (r *root) open() error {
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	if r.nofollow {
		flags |= unix.O_NOFOLLOW
	}
	f, err := os.OpenFile(r.path, flags, 0)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidTarget, err)
	}
	r.file = f
	names, err := f.Readdirnames(1)
	if len(names) == 0 {
		r.empty = true
	} else if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidTarget, err)
	}
	return r.lock()
}

// make makes the directory, with all above it, unless it exists. What it makes is private until it gets the mode of the
// archive.
func (r *root) make() error {
	if r.file != nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(r.path), 0o700); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidTarget, err)
	}
	switch err := os.Mkdir(r.path, 0o700); {
	case err == nil:
		r.made = true
	case !errors.Is(err, os.ErrExist):
		return fmt.Errorf("%w: %w", ErrInvalidTarget, err)
	}
	return r.open()
}

// lock keeps other restores away. File systems that can't lock directories don't.
func (r *root) lock() error {
	if err := unix.Flock(r.fd(), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%w %s", ErrBusy, r.path)
	}
	return nil
}

func (r *root) fd() int { return int(r.file.Fd()) }

// empty tells whether nothing was in any of them.
func (rs roots) empty() bool {
	for _, r := range rs {
		if r.file != nil && !r.empty {
			return false
		}
	}
	return true
}

func (rs roots) close() {
	for _, r := range rs {
		if r.file != nil {
			_ = r.file.Close()
		}
	}
}
