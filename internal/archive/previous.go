// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"appliance.io/backup-operator/internal/archive/index"
)

// previous is the archive that frames are taken over from. What is wrong with it costs reuse, never correctness.
type previous struct {
	file    *os.File
	reader  *Uncached // through which archive reads the file
	archive *Archive
	stat    stat // when it was opened
	// distrusted are the paths of files that aren't to be taken over.
	distrusted map[string]bool
}

// errPrevious means that the previous archive can't be relied on after all, which shows only when something of it is in
// the new one already. The archive must be made again without it.
var errPrevious = errors.New("the previous archive can't be relied on")

// distrustedError means that a file can't be taken over from the previous archive after all, of which something is in the
// new one already. The archive must be made again without that.
type distrustedError struct {
	path string
	err  error
}

func (e *distrustedError) Error() string {
	return fmt.Sprintf("%s can't be read in place of a damaged part of the previous archive: %v", e.path, e.err)
}

func (e *distrustedError) Unwrap() error { return e.err }

// openPrevious opens an archive to take frames over from; nil if there is none, or none that could be taken.
func openPrevious(f *os.File, level int) *previous {
	if f == nil {
		return nil
	}
	st, err := fstat(int(f.Fd()))
	if err != nil {
		return nil
	}
	reader := NewUncached(f)
	a, err := Open(reader, st.size)
	if err != nil {
		_ = reader.Close()
		return nil
	}
	p := &previous{file: f, reader: reader, archive: a, stat: st}
	if h := a.Info().Header; h.Format != Format || h.Level != level {
		p.close()
		return nil
	}
	return p
}

func (p *previous) name() string { return filepath.Base(p.file.Name()) }

// describe says whose fault something is.
func (p *previous) describe(err error) error {
	return fmt.Errorf("the previous archive %s: %w; look at the health of its storage", p.name(), err)
}

func (p *previous) close() {
	if p != nil {
		p.archive.decoder.Close()
		_ = p.reader.Close()
	}
}

// check returns an error if the file isn't any more what it was when it was opened. That it has lost its name is no harm.
func (p *previous) check() error {
	if p == nil {
		return nil
	}
	now, err := fstat(int(p.file.Fd()))
	if err == nil && (now.size != p.stat.size || now.mtime != p.stat.mtime) {
		err = errors.New("it was changed while it was read")
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", errPrevious, p.name(), err)
	}
	return nil
}

// oldFrame is a frame of the previous archive.
type oldFrame struct {
	index.Frame
	offset int64 // in the file
}

// oldEntry is an entry of the previous archive, and where it is.
type oldEntry struct {
	*index.Entry          // the cursor's own, good until it goes on
	frame        oldFrame // in which it begins
	ordinal      int      // among the entries that begin there
}

// cursor goes through what the previous archive knows of one source, in step with the walk: both have the same order. It
// holds one block of the index at a time. A nil cursor knows nothing.
type cursor struct {
	archive    *Archive
	distrusted map[string]bool
	damaged    func(error) // is told of blocks that can't be read
	next       int         // the block to be read next
	end        int         // the source's blocks end before this one

	block   index.Block
	entry   int      // in block: the one that was found, or the first that may be found yet
	frame   framePos // in which the entry begins
	ordinal int      // of the entry in its frame
	chunk   framePos // the frame after those that have been asked for
}

// framePos is a frame of the cursor's block and where it is in the file.
type framePos struct {
	i      int
	offset int64
}

// noChunk is where there are no more frames to be asked for: once one is missing, none that follows is what it seems.
var noChunk = framePos{i: -1}

// cursorOf returns a cursor for a source.
func (p *previous) cursorOf(source string, damaged func(error)) *cursor {
	if p == nil {
		return nil
	}
	c := &cursor{archive: p.archive, distrusted: p.distrusted, damaged: damaged}
	blocks := p.archive.Blocks()
	for c.next < len(blocks) && blocks[c.next].Source != source {
		c.next++
	}
	for c.end = c.next; c.end < len(blocks) && blocks[c.end].Source == source; {
		c.end++
	}
	return c
}

// find returns the entry of a path; false if there is none. Paths must be asked for in the order of the walk.
func (c *cursor) find(path string) (oldEntry, bool) {
	if c == nil {
		return oldEntry{}, false
	}
	c.chunk = noChunk
	c.skipBlocks(path)
	for c.entry < len(c.block.Entries) || c.load() {
		if c.entry >= len(c.block.Entries) {
			continue // a block in which no entry begins
		}
		e := &c.block.Entries[c.entry]
		switch order := index.Compare(e.Path, path); {
		case order > 0:
			return oldEntry{}, false
		case order == 0:
			if c.ordinal == c.block.Frames[c.frame.i].Entries-1 {
				c.chunk = c.after(c.frame)
			}
			return oldEntry{e, c.at(c.frame), c.ordinal}, true
		}
		c.advance()
	}
	return oldEntry{}, false
}

// skipBlocks leaves out the blocks that end before a path.
func (c *cursor) skipBlocks(path string) {
	for i := c.next; i < c.end; i++ {
		first := c.archive.Blocks()[i].First
		switch {
		case first == "": // It may be skipped, if one that follows may.
		case index.Compare(first, path) > 0:
			return
		default:
			c.block.Reset()
			c.entry, c.next = 0, i
		}
	}
}

// load reads the next block; false if there is none.
func (c *cursor) load() bool {
	for c.next < c.end {
		i := c.next
		c.next++
		err := c.archive.ReadBlock(i, &c.block)
		if err == nil {
			c.entry, c.ordinal = 0, 0
			c.frame = framePos{0, c.archive.Blocks()[i].Data}
			c.chunk = c.frame
			c.settle()
			return true
		}
		c.damaged(err)
	}
	c.block.Reset()
	c.entry = 0
	return false
}

// advance goes on to the next entry of the block.
func (c *cursor) advance() {
	c.entry++
	c.ordinal++
	c.settle()
}

// settle passes over the frames that hold no more entries.
func (c *cursor) settle() {
	for c.frame.i < len(c.block.Frames) && c.ordinal >= c.block.Frames[c.frame.i].Entries {
		c.frame = c.after(c.frame)
		c.ordinal = 0
	}
}

func (c *cursor) after(p framePos) framePos {
	return framePos{p.i + 1, p.offset + c.block.Frames[p.i].Stored}
}

// trusts tells whether a file may be taken over, if it is unchanged.
func (c *cursor) trusts(path string) bool { return c != nil && !c.distrusted[path] }

func (c *cursor) at(p framePos) oldFrame { return oldFrame{c.block.Frames[p.i], p.offset} }

// nextChunk returns the next of the frames that continue the data of the entry that was found last. It is false when there
// are no more, or when they can't be read.
func (c *cursor) nextChunk() (oldFrame, bool) {
	if c == nil || c.chunk == noChunk {
		return oldFrame{}, false
	}
	if c.chunk.i >= len(c.block.Frames) && !c.loadAfter() {
		c.chunk = noChunk
		return oldFrame{}, false
	}
	f := c.at(c.chunk)
	if f.Entries > 0 {
		c.chunk = noChunk
		return oldFrame{}, false
	}
	c.chunk = c.after(c.chunk)
	return f, true
}

// loadAfter reads the block after this one, in which the data may be continued; false if it isn't the next one that can
// be read.
func (c *cursor) loadAfter() bool {
	next := c.next
	return c.load() && c.next == next+1
}
