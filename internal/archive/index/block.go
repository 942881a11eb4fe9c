// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"encoding/binary"
	"fmt"
)

// Limits of one block. A writer closes a block when it has reached a limit; readers refuse what is beyond.
const (
	// MaxEntries is how many entries a block may have. One frame never has more.
	MaxEntries = 4096
	// MaxFrames is how many frames a block may have.
	MaxFrames = 1024
	// MaxContent is how many bytes of the tar stream a frame may hold.
	MaxContent = 1 << 30
	// MaxBlocks is how many blocks a directory may have: a thousand million entries.
	MaxBlocks = 1 << 20
	// MaxPaths is how many bytes the paths of a block may have together. It bounds the memory that a block takes whose
	// paths share long beginnings.
	MaxPaths = 16 << 20
)

// AppendBlock appends the block's bytes to dst. All that is of one kind stands together, because that compresses best;
// hashes are last, because they don't.
func AppendBlock(dst []byte, b *Block) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b.Frames)))
	for i := range b.Frames {
		dst = appendFrame(dst, &b.Frames[i])
	}
	previous := ""
	for i := range b.Entries {
		dst = appendEntry(dst, &b.Entries[i], previous)
		previous = b.Entries[i].Path
	}
	for i := range b.Entries {
		if b.Entries[i].Type == Regular {
			dst = append(dst, b.Entries[i].SHA256[:]...)
		}
	}
	return dst
}

func appendFrame(dst []byte, f *Frame) []byte {
	dst = binary.AppendUvarint(dst, uint64(f.Stored/Alignment))
	dst = binary.AppendUvarint(dst, uint64(f.Content))
	dst = binary.LittleEndian.AppendUint32(dst, f.CRC)
	dst = append(dst, f.Age)
	return binary.AppendUvarint(dst, uint64(f.Entries))
}

// appendEntry appends an entry but for its hash. Its path is told by what it doesn't share with the path before it.
func appendEntry(dst []byte, e *Entry, previous string) []byte {
	shared := sharedPrefix(e.Path, previous)
	dst = append(dst, e.Type, byte(e.Flags))
	dst = binary.AppendUvarint(dst, uint64(shared))
	dst = appendString(dst, e.Path[shared:])
	dst = binary.AppendUvarint(dst, uint64(e.Mode))
	dst = binary.AppendUvarint(dst, uint64(e.UID))
	dst = binary.AppendUvarint(dst, uint64(e.GID))
	dst = appendTime(dst, e.ModTime)
	// A file that was only ever written to has two times close to each other.
	dst = appendTime(dst, Time{e.ChangeTime.Sec - e.ModTime.Sec, e.ChangeTime.Nsec})
	dst = binary.AppendUvarint(dst, e.Inode)
	dst = binary.AppendUvarint(dst, uint64(e.Headers))
	switch e.Type {
	case Regular:
		dst = binary.AppendUvarint(dst, uint64(e.Size))
		if e.Is(Sparse) {
			dst = binary.AppendUvarint(dst, uint64(e.Data))
		}
	case Symlink, HardLink:
		dst = appendString(dst, e.Link)
	}
	return dst
}

func appendTime(dst []byte, t Time) []byte {
	dst = binary.AppendVarint(dst, t.Sec)
	return binary.AppendUvarint(dst, uint64(t.Nsec))
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func sharedPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// DecodeBlock reads a block from the bytes that AppendBlock made, all of them. It uses b's memory again. The error is
// ErrMalformed.
func DecodeBlock(raw []byte, b *Block) error {
	b.Reset()
	d := decoder{rest: raw}
	frames := d.count("frames", MaxFrames)
	entries := 0
	for range frames {
		f := d.frame()
		b.Frames = append(b.Frames, f)
		entries += f.Entries
	}
	if entries > MaxEntries {
		d.fail("too many entries")
	}
	previous, paths := "", 0
	for range entries {
		e := d.entry(previous)
		if previous, paths = e.Path, paths+len(e.Path); paths > MaxPaths {
			d.fail("its paths are too long")
		}
		if d.err != nil {
			break
		}
		b.Entries = append(b.Entries, e)
	}
	for i := range b.Entries {
		if b.Entries[i].Type == Regular {
			copy(b.Entries[i].SHA256[:], d.bytes(32))
		}
	}
	if d.err == nil && len(d.rest) > 0 {
		d.fail("something follows it")
	}
	if d.err != nil {
		b.Reset()
		return fmt.Errorf("%w: block: %w", ErrMalformed, d.err)
	}
	return nil
}

func (d *decoder) frame() Frame {
	f := Frame{
		Stored:  int64(d.number("stored size", MaxContent/Alignment*2)) * Alignment,
		Content: int64(d.number("content size", MaxContent)),
		CRC:     d.fixed32(),
	}
	if age := d.bytes(1); age != nil {
		f.Age = age[0]
	}
	f.Entries = int(d.number("entries of a frame", MaxEntries))
	if f.Stored == 0 || f.Content == 0 {
		d.fail("empty frame")
	}
	return f
}

func (d *decoder) entry(previous string) Entry {
	var e Entry
	if kind := d.bytes(2); kind != nil {
		e.Type, e.Flags = kind[0], Flags(kind[1])
	}
	if e.Type < Regular || e.Type > FIFO {
		d.fail("unknown type of entry")
	}
	shared := d.number("shared part of a path", uint64(len(previous)))
	if d.err == nil {
		if e.Path = previous[:shared] + d.string("path"); len(e.Path) > maxPath {
			d.fail("its path is too long")
		}
	}
	e.Mode = uint32(d.number("mode", 0o7777))
	e.UID, e.GID = uint32(d.number("uid", 1<<32-1)), uint32(d.number("gid", 1<<32-1))
	e.ModTime, e.ChangeTime = d.time(), d.time()
	e.ChangeTime.Sec += e.ModTime.Sec
	e.Inode = d.number("inode", 1<<64-1)
	e.Headers = int64(d.number("headers", MaxContent))
	switch e.Type {
	case Regular:
		e.Size = int64(d.number("size", 1<<63-1))
		e.Data = e.Size
		if e.Is(Sparse) {
			e.Data = int64(d.number("size of data", uint64(e.Size)))
		}
	case Symlink, HardLink:
		e.Link = d.string("link")
	}
	return e
}

func (d *decoder) time() Time {
	sec := d.signed()
	return Time{sec, int32(d.number("nanoseconds", 999_999_999))}
}
