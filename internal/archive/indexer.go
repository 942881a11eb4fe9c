// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"sync"

	"appliance.io/backup-operator/internal/archive/index"
	"github.com/klauspost/compress/zstd"
)

// How big blocks of the index become. A reader that looks for one path reads one block.
const (
	blockEntries = 1024
	blockFrames  = 512
	blockPaths   = 1 << 20
	// heldRecords is how many bytes of finished blocks are held before they are put between the frames.
	heldRecords = 2 << 20
)

// indexer takes the frames in order when they are written, hashes what is hashed in order, and makes the index of them.
// It is used by one goroutine, but for takeRecords.
type indexer struct {
	encoder *zstd.Encoder
	sources []string
	block   index.Block
	ref     index.BlockRef // of the block, with rest and held
	rest    index.Block    // further frames of a file that is open
	held    piece          // of those before rest
	paths   int            // bytes of paths and links in the block
	stream  int64          // end of the tar stream so far
	open    bool           // the last entry of the block is a big file of which not all is known yet
	hash    hash.Hash      // of that file
	raw     []byte
	list    checksums

	mu      sync.Mutex
	records []byte // finished blocks, yet to be written
	refs    []index.BlockRef
	placed  int // of how many refs the offset is known; the others' count from where records begins
	err     error
}

// piece is a row of finished blocks. Their offsets count from where the records begin.
type piece struct {
	records []byte
	refs    []index.BlockRef
}

func newIndexer(sources []SourceSummary, list io.Writer) (*indexer, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	x := &indexer{encoder: encoder, hash: sha256.New(), list: checksums{to: list}}
	for _, s := range sources {
		x.sources = append(x.sources, s.Name)
	}
	return x, nil
}

// add takes a frame that has been written.
func (x *indexer) add(f *frame) {
	if x.open && f.chunk.hashed {
		x.hash.Write(f.in[:f.chunk.size])
	}
	if !f.isEmpty() {
		x.place(f)
	}
	if x.open && f.chunk.last {
		x.close(f)
	}
}

// place puts a frame and its entries into the block that it belongs to.
func (x *indexer) place(f *frame) {
	source := x.sources[f.source]
	apart := x.ref.Source != source || x.ref.Data+x.ref.Stored != f.offset
	full := !x.open && (len(x.block.Entries)+len(f.entries) > blockEntries || len(x.block.Frames) >= blockFrames ||
		x.paths > blockPaths)
	if len(x.block.Frames) > 0 && (apart || full) {
		x.seal()
	}
	if len(x.block.Frames) == 0 {
		x.ref = index.BlockRef{Source: source, Data: f.offset, Stream: x.stream}
	}
	if len(x.block.Frames) < index.MaxFrames {
		x.block.Frames = append(x.block.Frames, f.info)
	} else {
		x.goOn(f.info)
	}
	x.block.Entries = append(x.block.Entries, f.entries...)
	for i := range f.entries {
		x.paths += len(f.entries[i].Path) + len(f.entries[i].Link)
	}
	x.ref.Stored += f.info.Stored
	x.stream += f.info.Content
	x.open = x.open || f.opens
	if f.opens {
		x.hash.Reset()
	}
}

// goOn adds a frame of a file that is open, of more frames than its block may have.
func (x *indexer) goOn(f index.Frame) {
	if len(x.rest.Frames) == index.MaxFrames {
		x.hold()
	}
	x.rest.Frames = append(x.rest.Frames, f)
}

// close completes the entry of a big file when its last chunk is there.
func (x *indexer) close(f *frame) {
	x.open = false
	e := &x.block.Entries[len(x.block.Entries)-1]
	e.Flags = judge(e.Flags, f.warnings)
	if f.chunk.hashed {
		x.hash.Sum(e.SHA256[:0])
	}
}

// seal finishes the block, and those that hold the rest of its last file.
func (x *indexer) seal() {
	x.list.add(x.block.Entries)
	if len(x.rest.Frames) > 0 {
		x.hold()
	}
	var first piece
	x.encode(&first, &x.block)
	for _, p := range []piece{first, x.held} {
		x.append(p)
	}
	x.block.Reset()
	x.held, x.paths = piece{}, 0
}

// hold finishes a block of frames whose file goes on. It must wait for the one with the file's entry, before which
// nothing of it may be written; as a record it takes a fraction of the memory.
func (x *indexer) hold() {
	x.encode(&x.held, &x.rest)
	x.rest.Reset()
}

// encode appends a block to a piece of the index. Where its frames are is left for append to say.
func (x *indexer) encode(p *piece, b *index.Block) {
	ref := index.BlockRef{Offset: int64(len(p.records)), Frames: len(b.Frames), Entries: len(b.Entries)}
	if ref.Entries > 0 {
		ref.First = b.Entries[0].Path
	}
	for _, f := range b.Frames {
		ref.Stored += f.Stored
		ref.Content += f.Content
	}
	x.raw = index.AppendBlock(x.raw[:0], b)
	records, err := appendCompressed(p.records, x.encoder, kindIndex, x.raw)
	if err != nil {
		x.err = fmt.Errorf("write index: %w", err)
		return
	}
	ref.Length = int64(len(records)) - ref.Offset
	p.records, p.refs = records, append(p.refs, ref)
}

// append adds finished blocks, whose frames follow each other from x.ref on, to the records.
func (x *indexer) append(p piece) {
	x.mu.Lock()
	defer x.mu.Unlock()
	start := int64(len(x.records))
	x.records = append(x.records, p.records...)
	for _, ref := range p.refs {
		ref.Offset += start
		ref.Source, ref.Data, ref.Stream = x.ref.Source, x.ref.Data, x.ref.Stream
		x.ref.Data += ref.Stored
		x.ref.Stream += ref.Content
		x.refs = append(x.refs, ref)
	}
}

// takeRecords returns the records of at least so many bytes that are to be written at an offset; nil if there are fewer.
func (x *indexer) takeRecords(offset int64, atLeast int) []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.records) < atLeast {
		return nil
	}
	for ; x.placed < len(x.refs); x.placed++ {
		x.refs[x.placed].Offset += offset
	}
	records := appendPad(x.records, 0)
	x.records = nil
	return records
}

// finish seals the last block, when all frames have been added.
func (x *indexer) finish() {
	if len(x.block.Frames) > 0 {
		x.seal()
	}
}
