// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"encoding/binary"
	"fmt"
)

// AppendDirectory appends the directory's bytes to dst: what blocks there are, in the order of the tar stream.
func AppendDirectory(dst []byte, blocks []BlockRef) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(blocks)))
	var before BlockRef
	for i := range blocks {
		b := &blocks[i]
		if b.Source == before.Source {
			dst = appendString(dst, "")
		} else {
			dst = appendString(dst, b.Source)
		}
		for _, n := range []int64{
			b.Offset, b.Length, b.Data / Alignment, b.Stored / Alignment, b.Content, int64(b.Frames), int64(b.Entries),
		} {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
		if b.Entries > 0 {
			shared := sharedPrefix(b.First, before.First)
			dst = binary.AppendUvarint(dst, uint64(shared))
			dst = appendString(dst, b.First[shared:])
		}
		before = *b
	}
	return dst
}

// DecodeDirectory reads a directory from the bytes that AppendDirectory made, all of them. Blocks that can't be one after
// the other in a file of the given size are refused, so that a reader needn't look at that again. The error is
// ErrMalformed.
func DecodeDirectory(raw []byte, size int64) ([]BlockRef, error) {
	d := decoder{rest: raw}
	var blocks []BlockRef
	var before BlockRef
	for range d.count("blocks", MaxBlocks) {
		if d.err != nil {
			break
		}
		b := d.blockRef(&before)
		b.Stream = before.Stream + before.Content
		if !b.follows(&before, size) {
			d.fail("blocks don't follow each other")
		}
		blocks = append(blocks, b)
		before = b
	}
	if d.err == nil && len(d.rest) > 0 {
		d.fail("something follows it")
	}
	if d.err != nil {
		return nil, fmt.Errorf("%w: directory: %w", ErrMalformed, d.err)
	}
	return blocks, nil
}

func (d *decoder) blockRef(before *BlockRef) BlockRef {
	b := BlockRef{Source: d.string("source")}
	if b.Source == "" {
		b.Source = before.Source
	}
	b.Offset = int64(d.number("offset", 1<<62))
	b.Length = int64(d.number("length", 1<<31))
	b.Data = int64(d.number("offset of frames", 1<<50)) * Alignment
	b.Stored = int64(d.number("size of frames", 1<<50)) * Alignment
	b.Content = int64(d.number("content", 1<<62))
	b.Frames = int(d.number("frames of a block", MaxFrames))
	b.Entries = int(d.number("entries of a block", MaxEntries))
	if b.Entries > 0 {
		shared := d.number("shared part of a path", uint64(len(before.First)))
		if d.err == nil {
			b.First = before.First[:shared] + d.string("path")
		}
	}
	return b
}

// follows tells whether a block can come after another one in a file of the given size.
func (b *BlockRef) follows(before *BlockRef, size int64) bool {
	frames := b.Frames > 0 && b.Data >= before.Data+before.Stored && b.Data <= size && b.Stored <= size-b.Data
	record := b.Length > 0 && b.Offset >= before.Offset+before.Length && b.Offset <= size && b.Length <= size-b.Offset
	stream := b.Stream >= 0 && b.Content >= 0 && b.Stream+b.Content >= b.Stream
	// A block is written after the frames that it is about.
	return frames && record && stream && b.Offset >= b.Data+b.Stored
}
