// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"errors"

	"appliance.io/backup-operator/internal/archive/index"
)

// frame is one zstd frame on its way into the archive: first what is to go into it, then its bytes. Frames are used
// again and again; their number bounds the memory of a run.
type frame struct {
	journal
	source  int
	members []member // of a group
	chunk   chunk    // of a big file, if it has content
	// opens is set when the last member is a big file, of which the hash, or what becomes of it while it is read, isn't
	// known before its last chunk.
	opens bool
	end   bool // the frame is the end of the tar stream

	old     oldFrame // of the previous archive, that may hold the same; without a size if there is none
	trusted bool     // old holds the same, by what is known of its entries
	taken   bool     // old's stored bytes go into this archive
	checked bool     // they were read
	damaged bool     // they aren't what they should be

	in, out []byte      // the frame's part of the tar stream, and its stored bytes; empty where they needn't be known
	info    index.Frame // what the index says of it
	offset  int64       // in the file
	done    chan struct{}
}

// member is one item of a group.
type member struct {
	item  item
	raw   []byte      // the entry as far as it was made in advance; nil if it is yet to be made
	entry index.Entry // of raw, or else the previous archive's
	same  bool        // the item is what the previous archive's entry says
}

// promised tells whether further names of the item's file have become, or will become, links to an entry that isn't made.
func (m *member) promised() bool { return m.raw == nil && hasNames(&m.item) }

// chunk is a part of a big file's data.
type chunk struct {
	content *content     // nil for a file that is taken over as a whole
	item    item         // of such a file
	entry   *index.Entry // of such a file
	offset  int64
	size    int64
	last    bool
	hashed  bool // the data goes into the file's hash
}

// inStream is what the chunk occupies in the tar stream, when the file has so much data.
func (c *chunk) inStream(total int64) int64 {
	if c.last {
		return c.size + padding(total)
	}
	return c.size
}

func (c *chunk) isZero() bool { return c.content == nil && c.entry == nil }

func newFrame() *frame {
	return &frame{done: make(chan struct{}, 1)}
}

// trust makes the frame one that is taken over without a look at the sources.
func (f *frame) trust(old oldFrame) {
	f.old, f.trusted = old, true
	for i := range f.members {
		f.entries = append(f.entries, f.members[i].entry)
	}
}

// assemble reads what is to go into the frame.
func (f *frame) assemble() error {
	f.in, f.entries = f.in[:0], f.entries[:0]
	switch {
	case f.end:
		f.in = append(f.in, zeros[:2*blockSize]...)
	case !f.chunk.isZero():
		return f.readChunk()
	}
	for i := range f.members {
		m := &f.members[i]
		switch {
		case m.raw != nil:
			f.in = append(f.in, m.raw...)
			f.entries = append(f.entries, m.entry)
		case f.trusted:
			if err := f.restore(m); err != nil {
				return err
			}
		default:
			f.in, _ = f.appendEntry(f.in, &m.item)
		}
	}
	return nil
}

// restore makes an entry that was to be taken over, which others rely on: chunks of a big file that are taken over still,
// and further names of a file.
func (f *frame) restore(m *member) error {
	saw, warnings := m.item.stat.id, len(f.warnings)
	if isBig(&m.item) {
		c, err := openSame(&m.item, &m.entry)
		if err != nil {
			return err
		}
		defer c.release()
		start := len(f.in)
		f.in = c.appendHeader(f.in)
		e := m.entry
		e.Headers = int64(len(f.in) - start)
		f.entries = append(f.entries, e)
		return nil
	}
	promised := m.promised()
	var ok bool
	f.in, ok = f.appendEntry(f.in, &m.item)
	if promised && (!ok || m.item.idRead() != saw || len(f.warnings) > warnings) {
		return &distrustedError{m.item.path, errors.New("it has changed meanwhile")}
	}
	return nil
}

func (f *frame) readChunk() error {
	c := f.chunk.content
	if c == nil {
		var err error
		if c, err = openSame(&f.chunk.item, f.chunk.entry); err != nil {
			return err
		}
		defer c.release()
	}
	f.in = grow(f.in, int(f.chunk.size))
	c.read(f.in, f.chunk.offset)
	if f.chunk.last {
		f.in = appendPadding(f.in, c.dataSize())
	}
	if f.chunk.hashed {
		return nil // See finish.
	}
	// The file's hash is the previous archive's, so this must be what that one held.
	if kind, err := c.verdict(); kind != "" {
		return &distrustedError{c.path, err}
	}
	return nil
}

// openSame opens a big file of which the archive holds parts already, taken over. The rest can come from the file only as
// long as it is the same.
func openSame(it *item, e *index.Entry) (*content, error) {
	c, err := openContent(it)
	switch {
	case err != nil:
	case !sameStat(e, &c.stat):
		err = errors.New("it has changed meanwhile")
	case c.extents != nil || e.Is(index.Sparse):
		err = errors.New("it is sparse, and where its holes are may be told in another way now")
	}
	if err != nil {
		if c != nil {
			c.release()
		}
		return nil, &distrustedError{it.path, err}
	}
	return c, nil
}

// finish notes what only shows when all frames before this one are made: whether the big file that ends in it is still
// as it was when it began.
func (f *frame) finish() {
	if f.chunk.last && f.chunk.content != nil {
		f.journal.finish(f.chunk.content)
	}
}

// isEmpty tells whether the frame holds nothing of the tar stream.
func (f *frame) isEmpty() bool { return f.info.Stored == 0 }

// data is the size of the content of files in the frame.
func (f *frame) data() int64 {
	n := f.chunk.size
	for i := range f.entries {
		if i < len(f.entries)-1 || !f.endsInBig() {
			n += f.entries[i].Data
		}
	}
	return n
}

// endsInBig tells whether the data of the last member is in other frames.
func (f *frame) endsInBig() bool {
	n := len(f.members)
	return f.opens || f.trusted && n > 0 && isBig(&f.members[n-1].item)
}

// release gives up the files that the frame holds.
func (f *frame) release() {
	for i := range f.members {
		f.members[i].item.release()
	}
	f.chunk.item.release()
	if f.chunk.content != nil {
		f.chunk.content.release()
	}
}

// maxKept is the size of the buffers that a frame keeps for its next use. Unusual entries may have needed more.
const maxKept = 2 << 20

// reset makes the frame ready for its next use.
func (f *frame) reset() {
	clear(f.members)
	clear(f.warnings)
	clear(f.entries)
	*f = frame{
		journal: journal{entries: f.entries[:0], warnings: f.warnings[:0]},
		members: f.members[:0], in: reuse(f.in), out: reuse(f.out), done: f.done,
	}
}

func reuse(buf []byte) []byte {
	if cap(buf) > maxKept {
		return nil
	}
	return buf[:0]
}

// sameContent tells whether the frame's part of the tar stream is what a frame of the previous archive decompresses to.
func (f *frame) sameContent(content []byte) bool { return bytes.Equal(f.in, content) }
