// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
	"golang.org/x/sys/unix"
)

// special restores a symbolic link, a named pipe or a device node.
func (r *restorer) special(m *member, header *tarstream.Header) error {
	what := absent
	if !m.parent.made {
		st, err := statAt(m.parent.fd, m.name)
		switch {
		case errors.Is(err, unix.ENOENT):
		case err != nil:
			return os.NewSyscallError("stat", err)
		case isSpecial(m, header, &st):
			return r.dress(m, header, m.name)
		default:
			if what, err = r.mayReplace(&st, &m.entry); err != nil {
				return err
			}
		}
	}
	temporary := r.names.next()
	if err := retry(func() error { return makeSpecial(m, header, temporary) }); err != nil {
		if errors.Is(err, unix.EPERM) {
			err = fmt.Errorf("%w: making a device node takes root with CAP_MKNOD", err)
		}
		return err
	}
	err := r.dress(m, header, temporary)
	if err == nil {
		err = place(m.parent, temporary, m.name, what)
	}
	if err != nil {
		_ = unix.Unlinkat(m.parent.fd, temporary, 0)
	}
	return err
}

// makeSpecial makes it under a name.
func makeSpecial(m *member, header *tarstream.Header, name string) error {
	if header.Type == index.Symlink {
		return os.NewSyscallError("symlink", unix.Symlinkat(header.Link, m.parent.fd, name))
	}
	device := 0
	if header.Type != index.FIFO {
		device = int(unix.Mkdev(header.Major, header.Minor))
	}
	return os.NewSyscallError("mknod", unix.Mknodat(m.parent.fd, name, kindOf(header.Type)|0o600, device))
}

// kindOf is the kernel's number for a type.
func kindOf(typ byte) uint32 {
	switch typ {
	case index.FIFO:
		return unix.S_IFIFO
	case index.Character:
		return unix.S_IFCHR
	case index.Device:
		return unix.S_IFBLK
	case index.Symlink:
		return unix.S_IFLNK
	case index.Directory:
		return unix.S_IFDIR
	default:
		return unix.S_IFREG
	}
}

// isSpecial tells whether what is there is what would be made.
func isSpecial(m *member, header *tarstream.Header, st *unix.Stat_t) bool {
	if st.Mode&unix.S_IFMT != kindOf(header.Type) {
		return false
	}
	switch header.Type {
	case index.Symlink:
		target, err := readLinkAt(m.parent.fd, m.name, len(header.Link))
		return err == nil && target == header.Link
	case index.FIFO:
		return true
	default:
		return unix.Major(st.Rdev) == header.Major && unix.Minor(st.Rdev) == header.Minor
	}
}

// dress gives it its metadata, under whatever name it has, and counts it.
func (r *restorer) dress(m *member, header *tarstream.Header, name string) error {
	path := -1
	if header.Type != index.Symlink {
		fd, err := openAt(m.parent.fd, name, unix.O_PATH, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		path = fd
	}
	dropOld := !m.parent.made || m.parent.inherits
	if err := r.describe(named(m.parent.fd, name, path), m.path, &m.entry, header, dropOld); err != nil {
		return err
	}
	if err := r.setTime(m.parent.fd, name, m.path, m.entry.ModTime, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	r.done(m.path, &m.entry, false)
	return nil
}

// link gives a file that is restored already a further name.
func (r *restorer) link(m *member) error {
	switch {
	case r.isRestoredAnew(m.entry.Link):
		r.restoreAnew(m.path)
		return nil
	case r.ledger.misses(m.entry.Link):
		return fmt.Errorf("%w: its first name %q isn't restored", errContent, m.entry.Link)
	}
	if r.ledger.isFlawed(m.entry.Link) {
		m.entry.Flags |= index.Flawed
	}
	source := index.SourceOf(m.entry.Link)
	dir, err := openBelow(r.roots[source].fd(), strings.TrimPrefix(parentPath(m.entry.Link), source))
	if err != nil {
		return fmt.Errorf("%w: its first name %q: %w", errContent, m.entry.Link, err)
	}
	defer dir.close()
	first := baseName(m.entry.Link)
	st, err := statAt(dir.fd, first)
	switch {
	case err != nil:
		return fmt.Errorf("%w: its first name %q: %w", errContent, m.entry.Link, err)
	case st.Mode&unix.S_IFMT == unix.S_IFDIR || !r.clocks.agree(dir.fd, &st, m.entry.ModTime):
		return fmt.Errorf("%w: its first name %q is another file", errContent, m.entry.Link)
	}
	what := absent
	if there, err := statAt(m.parent.fd, m.name); err == nil {
		if there.Dev == st.Dev && there.Ino == st.Ino {
			r.done(m.path, &m.entry, true)
			return nil
		}
		if what, err = r.mayReplace(&there, &m.entry); err != nil {
			return err
		}
	}
	if err := r.linkAs(m, dir.fd, first, what); err != nil {
		return err
	}
	r.done(m.path, &m.entry, false)
	return nil
}

func (r *restorer) linkAs(m *member, dir int, first string, what standing) error {
	r.ledger.touch(m.path)
	name := m.name
	if what == replaced {
		name = r.names.next()
	}
	err := retry(func() error { return unix.Linkat(dir, first, m.parent.fd, name, 0) })
	if errors.Is(err, unix.EEXIST) {
		return errDiffers
	}
	if err == nil && what == replaced {
		if err = place(m.parent, name, m.name, what); err != nil {
			_ = unix.Unlinkat(m.parent.fd, name, 0)
		}
	}
	return os.NewSyscallError("link", err)
}
