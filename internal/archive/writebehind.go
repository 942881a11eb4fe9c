// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"

	"golang.org/x/sys/unix"
)

// writeBehind keeps a file that is being written from filling the page cache: what was written goes to disk soon, and out
// of the cache once it is there. Little is ever dirty, so whoever else flushes that disk waits for little. Measured, that
// takes no more time than to leave it all to the flush at the end.
type writeBehind struct {
	fresh    extent // is written, and isn't on its way to disk
	underway extent // is on its way
	off      bool   // the file system can't
}

const (
	syncStart = unix.SYNC_FILE_RANGE_WRITE
	syncWait  = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
)

// syncFileRange is unix.SyncFileRange, but for tests of what happens when it fails.
var syncFileRange = unix.SyncFileRange

// wrote is told of each range that was written. An error means that something couldn't be brought to disk: it must not
// be ignored, for the kernel tells of it only once, and a later flush would succeed.
func (w *writeBehind) wrote(fd int, offset, length int64) error {
	if offset != w.fresh.offset+w.fresh.length {
		if err := w.push(fd); err != nil {
			return err
		}
		w.fresh.offset = offset
	}
	if w.fresh.length += length; w.fresh.length < dropWindow {
		return nil
	}
	return w.push(fd)
}

// push starts what is fresh on its way to disk, and waits for what is on its way.
func (w *writeBehind) push(fd int) error {
	fresh, underway := w.fresh, w.underway
	w.underway, w.fresh = fresh, extent{offset: fresh.offset + fresh.length}
	if err := w.sync(fd, fresh, syncStart); err != nil {
		return err
	}
	if err := w.sync(fd, underway, syncWait); err != nil {
		return err
	}
	// A page that both ranges have a part of is dropped with the second one: begin there a bit before.
	start := max(underway.offset-dropWindow, 0)
	if end := underway.offset + underway.length; end > start {
		_ = unix.Fadvise(fd, start, end-start, unix.FADV_DONTNEED)
	}
	return nil
}

func (w *writeBehind) sync(fd int, e extent, flags int) error {
	if w.off || e.length == 0 {
		return nil
	}
	err := retry(func() error { return syncFileRange(fd, e.offset, e.length, flags) })
	for _, can := range []error{unix.ENOSYS, unix.EOPNOTSUPP, unix.EINVAL, unix.EPERM, unix.ESPIPE} {
		if errors.Is(err, can) {
			w.off = true
			return nil
		}
	}
	return err
}

// end brings the rest to disk and drops the whole file from the page cache. It is no replacement for a flush: the file's
// size and where it lies may not be on disk.
func (w *writeBehind) end(fd int) error {
	for range 2 {
		if err := w.push(fd); err != nil {
			return err
		}
	}
	_ = unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED)
	return nil
}
