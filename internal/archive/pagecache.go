// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A backup reads and writes far more than a node's memory holds, and hardly any of it will be wanted again soon. Left to
// itself, the kernel would keep it all the same, at the cost of what the appliance has in the page cache. So whoever reads
// here leaves the cache as it was: what was in it stays, and what only came in for the backup goes again.
//
//   - Files that are read at once are read with RWF_DONTCACHE (Linux 6.14), which does just that and takes no system call
//     more. Whether a file system knows it is tried once.
//   - Bigger files, and any where there is no RWF_DONTCACHE, are looked at before: which parts of them are cached already?
//     The others are dropped behind the reading. RWF_DONTCACHE would do as well, but it drops pages that were read ahead
//     together with those that were asked for, and reads them twice: it takes twice the time.
//   - What can't be known, isn't touched.
const (
	// dropWindow is how much is read or written, in bytes, until what lies behind is dropped.
	dropWindow = 8 << 20
	// dropLag is how far behind that is: others may still be busy with parts before this one.
	dropLag = 2 * dropWindow
	// surveyPiece is the smallest part of a file, in bytes, that is told apart; surveyPieces is how many at most.
	surveyPiece, surveyPieces = 1 << 20, 1 << 10
)

// cacheKeeper reads an open file and leaves the page cache as it was. The zero keeper reads as everybody does.
type cacheKeeper struct {
	flags int      // of each read
	cold  []extent // parts that weren't cached before; to be dropped
	big   bool     // is dropped while it is read
}

// keepCache makes a keeper for a file of the device and size. It must be called before anything is read.
func keepCache(fd int, dev uint64, size int64) cacheKeeper {
	switch {
	case size <= 0:
		return cacheKeeper{}
	case size <= smallFile && knowsDontCache(fd, dev):
		return cacheKeeper{flags: unix.RWF_DONTCACHE}
	}
	cold, err := survey(pagesCached, fd, size)
	if err != nil && knowsDontCache(fd, dev) {
		return cacheKeeper{flags: unix.RWF_DONTCACHE}
	}
	return cacheKeeper{cold: cold, big: size > dropLag}
}

// readAt fills buf from offset on. It returns io.ErrUnexpectedEOF when the file ends before.
func (k *cacheKeeper) readAt(fd int, buf []byte, offset int64) (int, error) {
	n, err := readAt(fd, buf, offset, k.flags)
	if errors.Is(err, unix.EOPNOTSUPP) && k.flags != 0 {
		// One file may be different from others of its file system: mapped straight from memory, for example.
		return readAt(fd, buf, offset, 0)
	}
	if k.big {
		k.dropBehind(fd, offset, offset+int64(n))
	}
	return n, err
}

// dropBehind drops what lies behind a range that was read, each time that it reaches another window. Twice as much is
// dropped as was read since: the kernel leaves pieces alone that are dropped in part only.
func (k *cacheKeeper) dropBehind(fd int, from, to int64) {
	if edge := to / dropWindow * dropWindow; edge > from {
		k.drop(fd, edge-dropLag-2*dropWindow, edge-dropLag)
	}
}

// drop drops from the page cache what is in the range and wasn't there before.
func (k *cacheKeeper) drop(fd int, from, to int64) {
	for _, e := range k.cold {
		start, end := max(e.offset, from), min(e.offset+e.length, to)
		if start < end {
			_ = unix.Fadvise(fd, start, end-start, unix.FADV_DONTNEED)
		}
	}
}

// restore leaves the page cache as it was. The file must still be open, and not be read any more.
func (k *cacheKeeper) restore(fd int) {
	for _, e := range k.cold {
		_ = unix.Fadvise(fd, e.offset, e.length, unix.FADV_DONTNEED)
	}
}

// dontCache tells of each device whether its files can be read with RWF_DONTCACHE.
var dontCache sync.Map // of bool by uint64

// knowsDontCache tells whether a file of the device can be read with RWF_DONTCACHE. The first file is the one to try it.
func knowsDontCache(fd int, dev uint64) bool {
	if known, ok := dontCache.Load(dev); ok {
		return known.(bool)
	}
	_, err := readAt(fd, make([]byte, 1), 0, unix.RWF_DONTCACHE)
	known := err == nil
	// Other errors are the file's own, not the file system's. A filter of system calls has its choice of errors.
	if known || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		dontCache.Store(dev, known)
	}
	return known
}

// survey lists the parts of a file that aren't cached, as count tells. A part in which anything is cached counts as
// cached. A last part ends behind the file's end, so that its last page is in it.
func survey(count func(fd int, offset, length int64) (int64, error), fd int, size int64) ([]extent, error) {
	piece := max(surveyPiece, (size/surveyPieces+surveyPiece-1)/surveyPiece*surveyPiece)
	page := int64(os.Getpagesize())
	var cold []extent
	var look func(offset, length int64) error
	look = func(offset, length int64) error {
		cached, err := count(fd, offset, length)
		switch {
		case err != nil:
			return err
		case cached == 0:
			if last := len(cold) - 1; last >= 0 && cold[last].offset+cold[last].length == offset {
				cold[last].length += length
			} else {
				cold = append(cold, extent{offset, length})
			}
		case cached < length/page && length > piece:
			half := (length/2 + piece - 1) / piece * piece
			if err := look(offset, half); err != nil {
				return err
			}
			return look(offset+half, length-half)
		}
		return nil
	}
	err := look(0, (size+page-1)/page*page)
	return cold, err
}

// Uncached reads a file and leaves the page cache as it was. It may be used by several goroutines at the same time.
type Uncached struct {
	file   *os.File
	keeper cacheKeeper
}

// NewUncached returns a reader of an open regular file, of which nothing should have been read before. It doesn't take
// the file over. The caller closes first the reader, then the file.
func NewUncached(f *os.File) *Uncached {
	u := &Uncached{file: f}
	if st, err := fstat(int(f.Fd())); err == nil && st.kind() == unix.S_IFREG {
		u.keeper = keepCache(int(f.Fd()), st.id.dev, st.size)
	}
	return u
}

// ReadAt reads as os.File does.
func (u *Uncached) ReadAt(buf []byte, offset int64) (int, error) {
	n, err := u.keeper.readAt(int(u.file.Fd()), buf, offset)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = io.EOF
	case err != nil:
		err = &os.PathError{Op: "read", Path: u.file.Name(), Err: err}
	}
	return n, err
}

// Close drops what the reading has left in the page cache. It doesn't close the file, and never fails.
func (u *Uncached) Close() error {
	u.keeper.restore(int(u.file.Fd()))
	return nil
}

// DropCached drops a file from the page cache, but for what hasn't been written to disk yet. It is for files that nobody
// else reads, after a program that doesn't tidy up itself.
func DropCached(f *os.File) {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}
