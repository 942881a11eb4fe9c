// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
	"golang.org/x/sys/unix"
)

// directory is an open directory in a target. It stays open until everything that is in it is done; then it gets its
// metadata, as its time of modification moves with each name in it, and its mode may forbid more. So only directories in
// which something is still to be done are in memory.
type directory struct {
	r        *restorer
	parent   *directory // of which this one has a use; nil for a source's root
	path     string     // in the archive
	fd       int
	owned    bool              // fd is to be closed
	made     bool              // it wasn't there before: it is empty, and it gets its metadata even if it isn't wanted
	wanted   bool              // it gets its metadata
	inherits bool              // what is made in it gets access control lists from it
	entry    *index.Entry      // nil if it isn't known
	header   *tarstream.Header // nil if it is lost or not wanted
	before   *unix.Stat_t      // what it was, if it was there
	folds    folding
	claimed  map[string]string // names of entries by what they fold to, in a directory that folds names
	refused  error             // why it isn't restored, and nothing in it
	uses     atomic.Int64
}

func (d *directory) use() *directory {
	d.uses.Add(1)
	return d
}

// release gives up one use. The last one finishes the directory.
func (d *directory) release() {
	if d == nil || d.uses.Add(-1) > 0 {
		return
	}
	if d.r.ctx.Err() == nil {
		if err := d.finish(); err != nil {
			d.r.cancel(err)
		}
	} else {
		_ = d.putBack() // The restore ends with another error already.
	}
	if d.owned {
		_ = unix.Close(d.fd)
	}
	d.parent.release()
}

// finish sets the metadata.
func (d *directory) finish() error {
	if d.entry == nil || !d.wanted && !d.made {
		return d.putBack()
	}
	// The time before the mode, which may forbid it. No metadata moves it.
	if err := d.r.setTime(d.fd, ".", d.path, d.entry.ModTime, 0); err != nil {
		d.r.ledger.note(d.path, Partial, err)
	}
	if err := d.r.describe(opened(d.fd), d.path, d.entry, d.header, !d.made); err != nil {
		return err
	}
	if d.wanted {
		d.r.done(d.path, d.entry, false)
	}
	return nil
}

// putBack undoes what the restore itself did to a directory whose metadata aren't wanted.
func (d *directory) putBack() error {
	if d.before == nil {
		return nil
	}
	if d.r.anew {
		// Its time was set by the pass before this one.
		if err := setModTime(d.fd, ".", modTime(d.before), 0); err != nil {
			return err
		}
	}
	if !mayUse(d.before) {
		if err := retry(func() error { return unix.Fchmod(d.fd, d.before.Mode&0o7777) }); err != nil {
			return fmt.Errorf("set mode of %q: %w", d.path, err)
		}
	}
	return nil
}

// mayUse tells whether a directory's owner may list it and make files in it.
func mayUse(st *unix.Stat_t) bool { return st.Mode&0o700 == 0o700 }

// openUp opens a directory that its owner may not read, if that is who restores. It gets its mode when all is in it.
func (d *directory) openUp(name string) (int, error) {
	path, err := openAt(d.parent.fd, name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(path)
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(path, &st) }); err != nil {
		return -1, os.NewSyscallError("stat", err)
	}
	if int(st.Uid) != os.Geteuid() {
		return -1, os.NewSyscallError("open", unix.EACCES)
	}
	if err := named(d.parent.fd, name, path).chmod(st.Mode&0o7777 | 0o700); err != nil {
		return -1, os.NewSyscallError("chmod", err)
	}
	d.before = &st
	return openAt(path, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

// openTop gives a source's root as a directory. The caller has one use of it.
func (r *restorer) openTop(source string) (*directory, error) {
	top := r.roots[source]
	if err := top.make(); err != nil {
		return nil, fmt.Errorf("source %q: %w", source, err)
	}
	d := &directory{r: r, path: source, fd: top.fd(), made: top.made && !r.anew}
	d.uses.Store(1)
	if d.made {
		dropACLs(opened(d.fd))
	}
	if err := d.takeOver(); err != nil {
		return nil, err
	}
	d.folds = r.foldingOf(d.fd)
	return d, nil
}

// enter opens a directory in another one, and makes it if need be. The caller has one use of it.
func (r *restorer) enter(parent *directory, e *index.Entry) (*directory, error) {
	d := &directory{r: r, parent: parent.use(), path: e.Path, fd: -1, owned: true}
	d.uses.Store(1)
	err := d.open(baseName(e.Path))
	if err == nil && !d.made {
		err = d.takeOver()
	}
	if err != nil {
		d.entry = nil // There is nothing to be finished.
		d.release()
		return nil, err
	}
	if d.made && parent.inherits {
		dropACLs(opened(d.fd))
	}
	// Marks are inherited.
	if d.folds = parent.folds; !d.made {
		d.folds = r.foldingOf(d.fd)
	}
	return d, nil
}

func (d *directory) open(name string) error {
	dir := d.parent.fd
	err := retry(func() error { return unix.Mkdirat(dir, name, 0o700) })
	if errors.Is(err, unix.EEXIST) && d.r.options.Overwrite {
		// A file or a link in its place goes; it is never followed.
		if st, statErr := statAt(dir, name); statErr == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if err := unix.Unlinkat(dir, name, 0); err != nil {
				return fmt.Errorf("remove what is in the place of the directory %q: %w", d.path, err)
			}
			err = unix.Mkdirat(dir, name, 0o700)
		}
	}
	switch {
	case err == nil:
		d.made = true
	case !errors.Is(err, unix.EEXIST):
		return fmt.Errorf("make directory %q: %w", d.path, err)
	}
	if d.fd, err = openAt(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0); errors.Is(err, unix.EACCES) {
		d.fd, err = d.openUp(name)
	}
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return fmt.Errorf("%w: %q is a directory in the backup and something else in the target", ErrConflict, d.path)
	}
	if err != nil {
		return fmt.Errorf("directory %q: %w", d.path, err)
	}
	return nil
}

// takeOver makes a directory ready that was there already: what an interrupted restore left in it is removed.
func (d *directory) takeOver() error {
	if n, err := unix.Fgetxattr(d.fd, defaultACL, nil); err == nil && n > 0 {
		d.inherits = true
	}
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(d.fd, &st) }); err != nil {
		return fmt.Errorf("stat directory %q: %w", d.path, err)
	}
	if d.before == nil {
		d.before = &st
	}
	if !mayUse(&st) && int(st.Uid) == os.Geteuid() {
		// It gets the mode of the archive when all is in it.
		_ = unix.Fchmod(d.fd, st.Mode&0o7777|0o700)
	}
	return d.tidy()
}

// tidy removes what an interrupted restore left in the directory.
func (d *directory) tidy() error {
	names, err := d.leftovers()
	if err != nil {
		return fmt.Errorf("list directory %q: %w", d.path, err)
	}
	for _, name := range names {
		if err := unix.Unlinkat(d.fd, name, 0); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EISDIR) {
			return fmt.Errorf("remove what an interrupted restore left in %q: %w", d.path, err)
		}
	}
	return nil
}

// leftovers lists the temporary names in the directory.
func (d *directory) leftovers() (left []string, err error) {
	err = eachName(d.fd, func(name string) {
		if isTemporary(name) {
			left = append(left, name)
		}
	})
	return left, err
}

// eachName calls fn for each name in an open directory.
func eachName(fd int, fn func(name string)) error {
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return err
	}
	buf := make([]byte, 16<<10)
	for names := []string(nil); ; {
		n := 0
		err := retry(func() (err error) {
			n, err = unix.ReadDirent(fd, buf)
			return err
		})
		if err != nil || n <= 0 {
			return err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names[:0])
		for _, name := range names {
			fn(name)
		}
	}
}
