// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

// frame is one zstd frame on its way into the archive: first what is to go into it, then its bytes. Frames are used
// again and again; their number bounds the memory of a run.
type frame struct {
	journal
	source  int
	members []member // of a group
	chunk   chunk    // of a big file, if it has content
	in      []byte   // the frame's part of the tar stream
	out     []byte   // the frame
	done    chan struct{}
}

func newFrame() *frame {
	return &frame{done: make(chan struct{}, 1)}
}

// build reads what is to go into the frame and compresses it.
func (f *frame) build(c *compressor) {
	if f.chunk.content != nil {
		f.readChunk()
	}
	for i := range f.members {
		if m := &f.members[i]; m.raw != nil {
			f.in = append(f.in, m.raw...)
		} else {
			f.in, _ = f.appendEntry(f.in, &m.item)
		}
	}
	f.out = c.appendFrame(f.out, f.in)
}

func (f *frame) readChunk() {
	size := f.chunk.size
	f.in = grow(f.in, int(size))
	f.chunk.content.read(f.in, f.chunk.offset)
	f.tally.bytes += size
	if f.chunk.last {
		f.in = appendPadding(f.in, f.chunk.content.dataSize())
	}
}

// finish notes what only shows when all frames before this one are made: whether the big file that ends in it is still
// as it was when it began.
func (f *frame) finish() {
	if f.chunk.last {
		f.journal.finish(f.chunk.content)
	}
}

// release gives up the files that the frame holds.
func (f *frame) release() {
	for i := range f.members {
		f.members[i].item.release()
	}
	if f.chunk.content != nil {
		f.chunk.content.release()
	}
	clear(f.members)
	clear(f.warnings)
	f.members, f.warnings, f.chunk, f.tally = f.members[:0], f.warnings[:0], chunk{}, tally{}
}

// maxKept is the size of the buffers that a frame keeps for its next use. Unusual entries may have needed more.
const maxKept = 2 << 20

// reset makes the frame ready for its next use.
func (f *frame) reset() {
	f.in, f.out = reuse(f.in), reuse(f.out)
}

func reuse(buf []byte) []byte {
	if cap(buf) > maxKept {
		return nil
	}
	return buf[:0]
}
