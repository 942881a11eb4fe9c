// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"fmt"
	"os"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
	"golang.org/x/sys/unix"
)

const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
	setIDs     = unix.S_ISUID | unix.S_ISGID
)

// handle is how the metadata of a file is reached: an open file, or one that can't be opened by its name in an open
// directory.
type handle struct {
	chown    func(uid, gid int) error
	chmod    func(mode uint32) error // nil for symbolic links, which have none
	setXattr func(name string, value []byte) error
	delXattr func(name string) error
}

// opened is the handle of an open file or directory.
func opened(fd int) handle {
	return handle{
		chown:    func(uid, gid int) error { return unix.Fchown(fd, uid, gid) },
		chmod:    func(mode uint32) error { return unix.Fchmod(fd, mode) },
		setXattr: func(name string, value []byte) error { return unix.Fsetxattr(fd, name, value, 0) },
		delXattr: func(name string) error { return unix.Fremovexattr(fd, name) },
	}
}

// named is the handle of a link, a device or a pipe. path is an open file descriptor that only stands for the file, as
// changing modes by name would follow a link; -1 for a symbolic link.
func named(dir int, name string, path int) handle {
	h := handle{
		chown:    func(uid, gid int) error { return unix.Fchownat(dir, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW) },
		setXattr: func(attr string, value []byte) error { return unix.Lsetxattr(procPath(dir, name), attr, value, 0) },
		delXattr: func(attr string) error { return unix.Lremovexattr(procPath(dir, name), attr) },
	}
	if path >= 0 {
		h.chmod = func(mode uint32) error { return chmodPath(path, mode) }
	}
	return h
}

// describe gives a file its owner, attributes and mode, in an order in which nothing undoes what came before: changing
// the owner takes away setuid and capabilities, and a mode may take away the right to set attributes. The time of
// modification comes last of all, when the content is there, and isn't set here.
//
// header is nil if it is lost. dropOld says that the file may have access control lists that aren't the archive's. What
// can't be set is noted, and doesn't end the restore; an error is one that does.
func (r *restorer) describe(h handle, path string, e *index.Entry, header *tarstream.Header, dropOld bool) error {
	r.ledger.touch(path)
	var failed problems
	mode := e.Mode
	try := func(what string, err error) error {
		if err != nil && !concernsOneFile(err) {
			return fmt.Errorf("set %s of %q: %w", what, path, err)
		}
		if err != nil {
			failed.add(os.NewSyscallError("set "+what, err))
		}
		return nil
	}
	owned, err := r.chown(h, e)
	if !owned {
		// What runs as its owner must not run as somebody else.
		mode &^= setIDs
	}
	if err := try("owner", err); err != nil {
		return err
	}
	if dropOld {
		dropACLs(h)
	}
	if header != nil {
		if err := r.setXattrs(h, header, try); err != nil {
			return err
		}
	}
	if h.chmod != nil {
		if err := try("mode", retry(func() error { return h.chmod(mode) })); err != nil {
			return err
		}
	}
	if err := failed.err(); err != nil {
		r.ledger.note(path, Partial, err)
	}
	return nil
}

// chown gives a file its owner, and tells whether it has it. That this user may give nothing away is counted and no error.
func (r *restorer) chown(h handle, e *index.Entry) (owned bool, err error) {
	err = retry(func() error { return h.chown(int(e.UID), int(e.GID)) })
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EACCES) {
		r.ledger.unowned()
		return false, nil
	}
	return err == nil, err
}

// dropACLs removes access control lists, which a file gets from its directory when it is made, or had before. Most have
// none.
func dropACLs(h handle) {
	_ = h.delXattr(accessACL)
	_ = h.delXattr(defaultACL)
}
