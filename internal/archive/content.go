// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"appliance.io/backup-operator/internal/archive/index"
	"golang.org/x/sys/unix"
)

// content is an open regular file whose content is being archived. What its header promises is settled when it is
// opened; whatever becomes of the file, read gives as many bytes.
type content struct {
	fd      int
	path    string
	cache   cacheKeeper
	stat    stat     // when it was opened
	size    int64    // of the file, as archived
	extents []extent // parts that hold data; nil for a file without holes
	records []record // extended attributes

	uses   atomic.Int64
	mu     sync.Mutex
	failed error // the first error of read
}

// openContent opens a regular file; the caller has one use of it. With an error that leaves something to be archived
// (extended attributes that can't be read), the content is returned too.
func openContent(it *item) (*content, error) {
	fd, err := openAt(it.parent.fd, it.name, unix.O_NOFOLLOW)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	c := &content{fd: fd, path: it.path}
	c.uses.Store(1)
	if c.stat, err = fstat(fd); err != nil {
		c.release()
		return nil, fmt.Errorf("stat: %w", err)
	}
	if c.stat.kind() != unix.S_IFREG {
		c.release()
		return nil, errReplaced
	}
	c.size = c.stat.size
	c.cache = keepCache(fd, c.stat.id.dev, c.size)
	if maybeSparse(&c.stat) {
		if c.extents, err = extents(fd, c.size); err != nil {
			c.release()
			return nil, fmt.Errorf("find holes: %w", err)
		}
	}
	c.records, err = xattrsOf(fd).records()
	return c, err
}

func (c *content) use() *content {
	c.uses.Add(1)
	return c
}

func (c *content) release() {
	if c.uses.Add(-1) == 0 {
		c.cache.restore(c.fd)
		_ = unix.Close(c.fd)
	}
}

// dataSize is the number of bytes that read gives.
func (c *content) dataSize() int64 {
	if c.extents == nil {
		return c.size
	}
	return dataSize(c.extents)
}

// appendHeader appends the entry's headers and, for a sparse file, the map.
func (c *content) appendHeader(dst []byte) []byte {
	h := newHeader(&c.stat, c.path)
	h.typ, h.size, h.records = typeRegular, c.size, c.records
	if c.extents == nil {
		return appendHeader(dst, h)
	}
	sparseMap := makeSparse(h, c.extents, c.size)
	return append(appendHeader(dst, h), sparseMap...)
}

// entry is what the index says of the file, whose headers have been made, but for its hash.
func (c *content) entry(it *item, headers int) index.Entry {
	e := newEntry(it, &c.stat, index.Regular)
	e.Size, e.Data, e.Headers = c.size, c.dataSize(), int64(headers)
	if c.extents != nil {
		e.Flags |= index.Sparse
	}
	return e
}

// read fills buf with the data from offset on, where holes don't count. What can't be read is filled with zeros and
// remembered.
func (c *content) read(buf []byte, offset int64) {
	if c.extents == nil {
		c.readPiece(buf, offset)
		return
	}
	for _, e := range c.extents {
		if offset >= e.length {
			offset -= e.length
			continue
		}
		n := min(int64(len(buf)), e.length-offset)
		c.readPiece(buf[:n], e.offset+offset)
		if buf = buf[n:]; len(buf) == 0 {
			return
		}
		offset = 0
	}
}

func (c *content) readPiece(buf []byte, offset int64) {
	n, err := c.cache.readAt(c.fd, buf, offset)
	if err == nil {
		return
	}
	clear(buf[n:])
	c.mu.Lock()
	defer c.mu.Unlock()
	// An error of the device says more than that the file is short.
	if c.failed == nil || errors.Is(c.failed, io.ErrUnexpectedEOF) {
		c.failed = fmt.Errorf("read at %d: %w", offset+int64(n), err)
	}
}

// verdict compares the file with what it was when it was opened, after all has been read. No kind means that it is as
// it was.
func (c *content) verdict() (WarningKind, error) {
	c.mu.Lock()
	failed := c.failed
	c.mu.Unlock()
	now, err := fstat(c.fd)
	if err == nil && failed != nil && !errors.Is(failed, io.ErrUnexpectedEOF) {
		err = failed
	}
	switch sizes := fmt.Errorf("from %d to %d bytes", c.size, now.size); {
	case err != nil:
		return Unreadable, err
	case failed != nil, now.size < c.size && c.extents != nil:
		// What was cut off a sparse file looks like a hole.
		return Shrank, sizes
	case now.size > c.size:
		return Grew, sizes
	case now.size < c.size:
		return Changed, sizes
	case now.mtime != c.stat.mtime:
		return Changed, errors.New("written to while it was read")
	case now.ctime != c.stat.ctime:
		return Changed, errors.New("metadata changed while it was read")
	}
	return "", nil
}
