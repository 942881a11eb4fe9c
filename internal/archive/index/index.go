// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package index is what an archive knows of its own content: which entries there are, and which frames hold them.
//
// It is cut into blocks of some hundred entries and frames each, in the order of the tar stream, so that neither a
// writer nor a reader ever holds all of it: a reader streams block after block, and finds one path by a binary search
// in the directory, which has one line per block. A block is self-contained. It serves four purposes:
//
//   - to restore some files by reading their frames alone;
//   - to list an archive without reading it;
//   - to check every stored byte and every file's content;
//   - to tell what hasn't changed since, and where its frames are, so that the next archive can take them over.
//
// The package turns blocks and directories into bytes and back, and does no I/O. Bytes come from disks and strangers:
// decoding checks every bound and never allocates more than a multiple of what it is given. docs/archive-format.md
// specifies the bytes.
package index

import (
	"bytes"
	"errors"
	"strings"
)

// Alignment is what offsets and stored sizes of frames are multiples of: file systems share whole blocks of this size.
const Alignment = 4096

// ErrMalformed means that bytes aren't what a block or a directory looks like.
var ErrMalformed = errors.New("malformed index")

// Time is a point in time as a file system keeps it.
type Time struct {
	Sec  int64
	Nsec int32
}

// After tells whether t is later than other.
func (t Time) After(other Time) bool {
	return t.Sec > other.Sec || t.Sec == other.Sec && t.Nsec > other.Nsec
}

// Flags say what is special about an entry.
type Flags uint8

const (
	// Settled: the entry is what the file was, and its change time lay so far before the run began that every change
	// since must have moved it. Only settled entries may be taken for unchanged.
	Settled Flags = 1 << iota
	// Sparse: the data is preceded by a map of where it belongs, and holes aren't stored.
	Sparse
	// Flawed: a part of the file, or of its attributes, could not be read and is missing. Content that is missing is zeros.
	Flawed
	// Mixed: the file was written to while it was read, so it may be a mixture of two states of it.
	Mixed
)

// Types of entries, as in a tar header.
const (
	Regular   byte = '0'
	HardLink  byte = '1'
	Symlink   byte = '2'
	Character byte = '3'
	Device    byte = '4'
	Directory byte = '5'
	FIFO      byte = '6'
)

// Entry is one member of the tar stream.
type Entry struct {
	// Path is its name in the archive, source/path as bytes, without the slash that a directory has at its end.
	Path string
	// Type is one of the constants.
	Type byte
	// Flags say what is special about it.
	Flags Flags
	// Mode is the permissions with setuid, setgid and sticky.
	Mode uint32
	// UID and GID are the owner's numbers.
	UID, GID uint32
	// ModTime is when the content was changed last.
	ModTime Time
	// ChangeTime is when content or metadata was changed last, by the source's clock.
	ChangeTime Time
	// Inode is the file's number in its file system.
	Inode uint64
	// Link is where a symbolic link leads, or the path in the archive of a hard link's first name.
	Link string
	// Size is a regular file's size with its holes; 0 for all other types.
	Size int64
	// Data is how many bytes of data a regular file has in the stream, without holes and without padding.
	Data int64
	// Headers is how many bytes of the stream come before the data: the entry's headers and the map of a sparse file.
	Headers int64
	// SHA256 is the hash of a regular file's data, as it is in the stream; zeros for all other types.
	SHA256 [32]byte
	// Unhashed means that the hash isn't known: the entry doesn't come from an index, but from the stream.
	Unhashed bool
}

// Is tells whether all the flags are set.
func (e *Entry) Is(f Flags) bool { return e.Flags&f == f }

// HasHash reports whether a hash is that of the entry's data, as far as that is known.
func (e *Entry) HasHash(sum []byte) bool { return e.Unhashed || bytes.Equal(e.SHA256[:], sum) }

// Frame is a part of the tar stream as it is stored: a zstd frame and its padding.
type Frame struct {
	// Stored is its size in the file, a multiple of Alignment.
	Stored int64
	// Content is the size of its part of the tar stream.
	Content int64
	// CRC is the CRC-32C of the stored bytes.
	CRC uint32
	// Age is how many runs ago the stored bytes were last read and checked, or made.
	Age uint8
	// Entries is how many entries begin in it. A frame in which none begins continues the data of the last one.
	Entries int
}

// Block is a piece of the index.
type Block struct {
	// Frames are frames that follow each other in the file.
	Frames []Frame
	// Entries are the entries that begin in them, in order.
	Entries []Entry
}

// Reset empties the block for another use.
func (b *Block) Reset() {
	clear(b.Entries)
	b.Frames, b.Entries = b.Frames[:0], b.Entries[:0]
}

// BlockRef is what the directory knows of a block.
type BlockRef struct {
	// Offset is where the block's record begins in the file, Length its size without padding.
	Offset, Length int64
	// Data is where the block's first frame begins in the file, Stored the size of all its frames there.
	Data, Stored int64
	// Stream is where the block's first frame begins in the tar stream, Content the size of all its frames there.
	Stream, Content int64
	// Frames and Entries are how many there are.
	Frames, Entries int
	// Source is the source that all its entries belong to.
	Source string
	// First is the path of the first entry that begins in the block; empty if none begins.
	First string
}

// Compare orders paths as the tar stream has them: each directory before what is in it, names by their bytes. It
// returns -1, 0 or 1. Paths of different sources aren't in this order, but in that of the sources.
func Compare(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		x, y := a[i], b[i]
		switch {
		case x == y:
		case x == '/':
			return -1
		case y == '/':
			return 1
		case x < y:
			return -1
		default:
			return 1
		}
	}
	switch {
	case len(a) < len(b):
		return -1
	case len(a) > len(b):
		return 1
	}
	return 0
}

// SourceOf is the source that a path in the archive belongs to.
func SourceOf(path string) string {
	source, _, _ := strings.Cut(path, "/")
	return source
}
