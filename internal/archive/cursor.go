// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import "appliance.io/backup-operator/internal/archive/index"

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
