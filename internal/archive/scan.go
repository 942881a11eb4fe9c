// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
	"github.com/klauspost/compress/zstd"
)

// Frames hold whole entries, so what is in them can be told without the index: by reading them one after the other. A
// scanner does that where the index is damaged. It holds one frame at a time.
//
// What isn't certain isn't taken. Once a part of the stream is lost, a frame may be the middle of a file, and a file may
// hold anything, another archive for example. So from there on, only a frame that is a group from its first byte to its
// last is taken for one.
type scanner struct {
	ctx     context.Context
	r       io.ReaderAt
	size    int64
	decoder *Decoder

	window   []byte // what was read last
	windowAt int64

	source string // of the entry before; empty at the start
	seen   map[string]bool
	last   string // the path of the entry before
	rest   int64  // how many bytes of it are in frames to come; unknown if that can't be told
	ended  bool   // the end of the tar stream was there
	record bool   // a record of an archive was there

	content []byte
}

// unknown is the rest of an entry, where that isn't known.
const unknown = -1

const (
	// maxScanned is the size of the biggest frame that is looked for, many times as much as a writer makes.
	maxScanned = 64 << 20
	// scanWindow is how much is read at once.
	scanWindow = 4 << 20
)

// scanned is a piece of the file: a frame and the entries that begin in it, or something that can't be read. That has no
// content.
type scanned struct {
	index.Frame
	offset  int64
	entries []index.Entry
}

func (f *scanned) isLost() bool { return f.Content == 0 }

// errScanned means that bytes aren't a frame that can be read.
var errScanned = errors.New("not a frame")

// next returns the next frame or lost piece from pos on; false if there is none before end.
func (s *scanner) next(pos, end int64) (f scanned, found bool, err error) {
	for pos < end {
		if err := context.Cause(s.ctx); err != nil {
			return f, false, err
		}
		f = scanned{}
		length, err := s.skippable(pos)
		if err != nil && !errors.Is(err, errScanned) {
			return f, false, err
		}
		if err == nil {
			pos += length
			continue
		}
		f, err = s.frame(pos)
		if err == nil {
			return f, true, nil
		}
		if !errors.Is(err, errScanned) {
			return f, false, err
		}
		if f.Stored == 0 || !s.continues(pos+f.Stored) {
			f.Stored, err = s.resync(pos, end)
		} else {
			err = nil
		}
		s.rest = unknown
		f.offset = pos
		return f, true, err
	}
	return f, false, nil
}

// resync returns how many bytes from pos on can't be made sense of. Frames and records begin at whole blocks.
func (s *scanner) resync(pos, end int64) (int64, error) {
	for next := pos&^(index.Alignment-1) + index.Alignment; next < end; next += index.Alignment {
		if err := context.Cause(s.ctx); err != nil {
			return 0, err
		}
		if s.continues(next) {
			return next - pos, nil
		}
	}
	return end - pos, nil
}

// continues reports whether a frame or a record is at an offset, or the file ends there.
func (s *scanner) continues(pos int64) bool {
	if pos >= s.size {
		return pos == s.size
	}
	if _, err := s.skippable(pos); err == nil {
		return true
	}
	_, content, err := s.load(pos)
	return err == nil && len(content) > 0
}

// skippable returns the length of the skippable frame at an offset that is a part of an archive.
func (s *scanner) skippable(pos int64) (int64, error) {
	head, err := s.read(pos, skippableSize)
	if err != nil {
		return 0, err
	}
	length := skippableSize + int64(binary.LittleEndian.Uint32(head[4:]))
	switch binary.LittleEndian.Uint32(head) {
	case padMagic:
		if length > index.Alignment+skippableSize {
			return 0, errScanned
		}
	case recordMagic:
		if name, err := s.read(pos+skippableSize, int64(len(signature))); err != nil || string(name) != signature {
			return 0, errScanned
		}
		s.record = true
	case seekTableMagic:
	default:
		return 0, errScanned
	}
	if length > s.size-pos {
		return 0, errScanned
	}
	return length, nil
}

// frame reads the frame at an offset. With errScanned, its stored size is set if that can be told.
func (s *scanner) frame(pos int64) (scanned, error) {
	f := scanned{offset: pos}
	stored, content, err := s.load(pos)
	f.Stored = int64(len(stored))
	if err != nil {
		return f, err
	}
	f.entries = s.follow(content)
	f.Content, f.CRC, f.Entries = int64(len(content)), crc32.Checksum(stored, castagnoli), len(f.entries)
	return f, nil
}

// load reads and decompresses the frame at an offset. With errScanned, stored is what it occupies if that can be told.
func (s *scanner) load(pos int64) (stored, content []byte, err error) {
	var end int
	for n := int64(64 << 10); ; n = max(2*n, int64(end)) {
		head, err := s.read(pos, min(n, s.size-pos))
		if err != nil {
			return nil, nil, err
		}
		var ok bool
		if end, ok = frameEnd(head); !ok || end > maxScanned || int64(end) > s.size-pos {
			return nil, nil, errScanned
		}
		if end <= len(head) {
			break
		}
	}
	length := int64(end)
	length += padTo(pos + length)
	if stored, err = s.read(pos, min(length, s.size-pos)); err != nil {
		return nil, nil, err
	}
	var header zstd.Header
	if header.Decode(stored) != nil || !header.HasFCS || header.FrameContentSize == 0 || header.FrameContentSize > maxScanned {
		return stored, nil, errScanned
	}
	s.content, err = s.decoder.expand(s.content[:0], stored[:end], int64(header.FrameContentSize))
	if err != nil {
		return stored, nil, errScanned
	}
	return stored, s.content, nil
}

// follow takes a frame's content for what comes next in the stream, and returns the entries that begin in it.
func (s *scanner) follow(content []byte) []index.Entry {
	n := int64(len(content))
	switch {
	case s.rest > 0 && n <= s.rest:
		s.rest -= n
		return nil
	case s.rest <= 0 && n == endOfTar && isZero(content):
		s.ended = true
		return nil
	}
	entries, rest, whole := s.parse(content)
	if s.rest != 0 && (!whole || n == chunkSize) {
		s.rest = unknown
		return nil
	}
	s.rest = rest
	if len(entries) > 0 {
		s.last = entries[len(entries)-1].Path
		s.source = index.SourceOf(s.last)
		s.seen[s.source] = true
	}
	return entries
}

// parse finds the entries in the content of a frame. It returns those before the first that isn't one, and how many bytes
// of the last one are in frames to come. It is whole if it is a group, or the headers of a file, and nothing else.
func (s *scanner) parse(content []byte) (entries []index.Entry, rest int64, whole bool) {
	n, last := int64(len(content)), s.last
	for at := int64(0); at < n; {
		h, after, err := tarstream.Next(content[at:])
		if err != nil || len(entries) == index.MaxEntries {
			return entries, unknown, false
		}
		e := h.Entry(int(n-at) - len(after))
		end, ok := tarstream.EndOf(&e, at, n, true)
		if !ok || !s.admits(&e, last) {
			return entries, unknown, false
		}
		entries, last = append(entries, e), e.Path
		if end > n {
			return entries, end - n, at+e.Headers == n
		}
		at = end
	}
	return entries, 0, true
}

// admits reports whether an entry can come after another one.
func (s *scanner) admits(e *index.Entry, last string) bool {
	source := index.SourceOf(e.Path)
	if source != index.SourceOf(last) {
		// A source begins with its root, unless that is lost.
		if s.seen[source] || e.Path != source && s.rest == 0 {
			return false
		}
		last = ""
	}
	return tarstream.Check(e, last) == nil
}

// read returns bytes of the file, which are good until the next call. What is damaged, or beyond the end, is errScanned.
func (s *scanner) read(pos, n int64) ([]byte, error) {
	if n < 0 || n > s.size-pos {
		return nil, errScanned
	}
	if at := pos - s.windowAt; at >= 0 && at+n <= int64(len(s.window)) {
		return s.window[at : at+n], nil
	}
	for _, length := range []int64{min(max(n, scanWindow), s.size-pos), n} {
		window, err := readRange(s.r, pos, length)
		if err == nil {
			s.window, s.windowAt = window, pos
			return window[:n], nil
		}
		if !isDamage(err) && !errors.Is(err, ErrTruncated) {
			return nil, err
		}
	}
	return nil, errScanned
}
