// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// maxGrown bounds the memory that a file takes that was small when the walk saw it and isn't any more.
const maxGrown = 4 << 20

// newHeader fills in what all kinds of entries have.
func newHeader(st *stat, path string) *tarHeader {
	return &tarHeader{name: path, mode: st.mode & 0o7777, uid: st.uid, gid: st.gid, mtime: st.mtime}
}

// journal collects what happens while entries are made: what is to be counted and reported when they are written.
type journal struct {
	tally    tally
	warnings []Warning // without their source
}

func (j *journal) note(path string, kind WarningKind, err error) {
	w := Warning{Path: relative(path), Kind: kind}
	if err != nil {
		w.Err = err.Error()
	}
	j.warnings = append(j.warnings, w)
}

// noteError notes that a file couldn't be archived, or not all of it.
func (j *journal) noteError(path string, err error) {
	kind := Unreadable
	switch {
	case vanished(err):
		kind = Vanished
	case errors.Is(err, errSocket):
		kind = Skipped
	}
	j.note(path, kind, err)
}

// appendEntry appends an item's tar entry, headers and content, to dst. It returns whether there is one: the file may
// be gone or unreadable, which is noted.
func (j *journal) appendEntry(dst []byte, it *item) ([]byte, bool) {
	out := dst
	err := it.tryTwice(func() (err error) {
		out, err = j.tryEntry(dst, it)
		return err
	})
	if err != nil {
		j.noteError(it.path, err)
		return dst, false
	}
	return out, true
}

// tryEntry is appendEntry where the item must still be what its stat says: errors for which replaced is true mean that
// it isn't. A file of the same kind is as good as the one that the walk saw; which one it was stands in it.stat.id then.
func (j *journal) tryEntry(dst []byte, it *item) ([]byte, error) {
	if it.link != "" {
		return j.appendHardLink(dst, it), nil
	}
	switch it.stat.kind() {
	case unix.S_IFREG:
		return j.appendFile(dst, it)
	case unix.S_IFDIR:
		return j.appendDirectory(dst, it), nil
	case unix.S_IFLNK:
		return j.appendSymlink(dst, it)
	default:
		return j.appendSpecial(dst, it)
	}
}

// appendFile appends a regular file that is small enough to share a frame.
func (j *journal) appendFile(dst []byte, it *item) ([]byte, error) {
	c, err := j.open(it)
	if err != nil {
		return dst, err
	}
	defer c.release()
	if c.size > maxGrown {
		// A log that has just got long is cut where it was, but not another file that took its place.
		if c.stat.id != it.stat.id || it.stat.size > maxGrown || bornOf(c.fd).after(it.stat.ctime) {
			return dst, errOutgrown
		}
		c.size, c.extents = it.stat.size, nil
	}
	it.stat.id = c.stat.id
	dst = c.appendHeader(dst)
	size := c.dataSize()
	start := len(dst)
	dst = grow(dst, int(size))
	c.read(dst[start:], 0)
	j.finish(c)
	j.tally.files++
	j.tally.bytes += size
	j.tally.entries++
	return appendPadding(dst, size), nil
}

// open opens a regular file. What is wrong with one that can be archived all the same is noted.
func (j *journal) open(it *item) (*content, error) {
	c, err := openContent(it)
	if c != nil && err != nil {
		j.noteError(it.path, err)
		err = nil
	}
	return c, err
}

// finish notes what became of a file while it was read.
func (j *journal) finish(c *content) {
	if kind, err := c.verdict(); kind != "" {
		j.note(c.path, kind, err)
	}
}

func (j *journal) appendDirectory(dst []byte, it *item) []byte {
	h := newHeader(&it.stat, it.path+"/")
	h.typ = typeDirectory
	var xattrs xattrReader
	if it.self != nil {
		xattrs = xattrsOf(it.self.fd)
	} else {
		xattrs = xattrsAt(it.parent.fd, it.name)
	}
	h.records = j.records(it, xattrs)
	j.tally.directories++
	j.tally.entries++
	return appendHeader(dst, h)
}

func (j *journal) appendSymlink(dst []byte, it *item) ([]byte, error) {
	target, err := readLinkAt(it.parent.fd, it.name, it.stat.size)
	if errors.Is(err, unix.EINVAL) {
		err = errReplaced // not a link any more
	}
	if err != nil {
		return dst, fmt.Errorf("read link: %w", err)
	}
	h := newHeader(&it.stat, it.path)
	h.typ, h.link = typeSymlink, target
	h.records = j.records(it, xattrsAt(it.parent.fd, it.name))
	j.tally.symlinks++
	j.tally.entries++
	return appendHeader(dst, h), nil
}

func (j *journal) appendHardLink(dst []byte, it *item) []byte {
	h := newHeader(&it.stat, it.path)
	h.typ, h.link = typeHardLink, it.link
	j.tally.hardLinks++
	j.tally.entries++
	return appendHeader(dst, h)
}

// appendSpecial appends a device node or a named pipe.
func (j *journal) appendSpecial(dst []byte, it *item) ([]byte, error) {
	h := newHeader(&it.stat, it.path)
	switch it.stat.kind() {
	case unix.S_IFIFO:
		h.typ = typeFIFO
	case unix.S_IFCHR:
		h.typ = typeCharacter
	case unix.S_IFBLK:
		h.typ = typeBlock
	default:
		return dst, fmt.Errorf("unknown type of file %#o", it.stat.kind())
	}
	if h.typ != typeFIFO {
		h.major, h.minor = unix.Major(it.stat.rdev), unix.Minor(it.stat.rdev)
	}
	h.records = j.records(it, xattrsAt(it.parent.fd, it.name))
	j.tally.specials++
	j.tally.entries++
	return appendHeader(dst, h), nil
}

// records reads extended attributes and notes what couldn't be read.
func (j *journal) records(it *item, xattrs xattrReader) []record {
	records, err := xattrs.records()
	// What is gone by now has no attributes to lose.
	if err != nil && !vanished(err) {
		j.note(it.path, Unreadable, err)
	}
	return records
}

// grow lengthens dst by n bytes of any value.
func grow(dst []byte, n int) []byte {
	if free := cap(dst) - len(dst); free < n {
		dst = append(make([]byte, 0, len(dst)+n+blockSize), dst...)
	}
	return dst[:len(dst)+n]
}
