// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"appliance.io/backup-operator/internal/archive/index"
	"golang.org/x/sys/unix"
)

// maxGrown bounds the memory that a file takes that was small when the walk saw it and isn't any more.
const maxGrown = 4 << 20

// newHeader fills in what all kinds of entries have.
func newHeader(st *stat, path string) *tarHeader {
	return &tarHeader{name: path, mode: st.mode & 0o7777, uid: st.uid, gid: st.gid, mtime: st.mtime}
}

// journal collects what happens while entries are made: what is to be put into the index, counted and reported when they
// are written.
type journal struct {
	entries  []index.Entry
	warnings []Warning // without their source
	excluded int64
}

// enter takes down an entry that has been made, as it is after the warnings since a mark.
func (j *journal) enter(e index.Entry, mark int) {
	e.Flags = judge(e.Flags, j.warnings[mark:])
	j.entries = append(j.entries, e)
}

// judge gives an entry's flags when warnings were noted while it was made.
func judge(flags index.Flags, warnings []Warning) index.Flags {
	for i := range warnings {
		if k := warnings[i].Kind; k == Damaged || k == NotReused {
			continue // That is about the previous archive.
		}
		flags &^= index.Settled
		if k := warnings[i].Kind; k == Shrank || k == Unreadable {
			flags |= index.Flawed
		} else if k == Changed {
			flags |= index.Mixed
		}
	}
	return flags
}

func (j *journal) note(path string, kind WarningKind, err error) {
	w := Warning{Path: relative(path), Kind: kind}
	if err != nil {
		w.Err = err.Error()
	}
	if isShortage(err) {
		w.shortage = err
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
	mark := len(j.warnings)
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
	start := len(dst)
	dst = c.appendHeader(dst)
	e := c.entry(it, len(dst)-start)
	data := len(dst)
	dst = grow(dst, int(e.Data))
	c.read(dst[data:], 0)
	e.SHA256 = sha256.Sum256(dst[data:])
	j.finish(c)
	j.enter(e, mark)
	return appendPadding(dst, e.Data), nil
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
	var xattrs xattrReader
	if it.self != nil {
		xattrs = xattrsOf(it.self.fd)
	} else {
		xattrs = xattrsAt(it.parent.fd, it.name)
	}
	h := newHeader(&it.stat, it.path+"/")
	h.typ = typeDirectory
	return j.appendBare(dst, it, h, xattrs)
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
	return j.appendBare(dst, it, h, xattrsAt(it.parent.fd, it.name)), nil
}

func (j *journal) appendHardLink(dst []byte, it *item) []byte {
	h := newHeader(&it.stat, it.path)
	h.typ, h.link = typeHardLink, it.link
	return j.appendBare(dst, it, h, xattrReader{})
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
	return j.appendBare(dst, it, h, xattrsAt(it.parent.fd, it.name)), nil
}

// appendBare appends an entry that is nothing but headers. A further name of a file has no attributes of its own.
func (j *journal) appendBare(dst []byte, it *item, h *tarHeader, xattrs xattrReader) []byte {
	mark, start := len(j.warnings), len(dst)
	if h.typ != typeHardLink {
		h.records = j.records(it, xattrs)
	}
	dst = appendHeader(dst, h)
	e := newEntry(it, &it.stat, h.typ)
	e.Link, e.Headers = h.link, int64(len(dst)-start)
	j.enter(e, mark)
	return dst
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
