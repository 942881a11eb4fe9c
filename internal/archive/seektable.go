// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The seek table of zstd's seekable format is the last thing in an archive. Programs that know that format can read any
// part of the tar stream by it; this one has the index, which knows more.
// https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md
const (
	seekTableMagic = 0x184D2A5E
	seekMagic      = 0x8F92EAB1
	seekFooterSize = 9
	seekEntrySize  = 8
	// maxSeekEntries bounds the memory of the table, which can be written only when all sizes are known. Archives of
	// some TiB go without one.
	maxSeekEntries = 4 << 20
)

// seekTable collects the sizes of the parts of the file, in order.
type seekTable struct {
	entries []byte
	count   int
	stored  int64 // bytes since the last entry that hold no data
	dropped bool  // there are too many entries
}

// skip counts a part that holds no data: records and padding.
func (t *seekTable) skip(stored int64) { t.stored += stored }

// add counts a frame with its padding.
func (t *seekTable) add(stored, content int64) {
	t.flush()
	t.append(stored, content)
}

// flush makes an entry of what was skipped.
func (t *seekTable) flush() {
	if t.stored > 0 {
		t.append(t.stored, 0)
		t.stored = 0
	}
}

func (t *seekTable) append(stored, content int64) {
	const limit = 1<<32 - 1
	if t.dropped = t.dropped || t.count == maxSeekEntries || stored > limit || content > limit; t.dropped {
		t.entries = nil
		return
	}
	t.entries = binary.LittleEndian.AppendUint32(t.entries, uint32(stored))
	t.entries = binary.LittleEndian.AppendUint32(t.entries, uint32(content))
	t.count++
}

// appendTo appends the table to dst when all parts have been counted; nothing if it would be too big.
func (t *seekTable) appendTo(dst []byte) []byte {
	t.flush()
	if t.dropped {
		return dst
	}
	dst = binary.LittleEndian.AppendUint32(dst, seekTableMagic)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(t.entries)+seekFooterSize))
	dst = append(dst, t.entries...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(t.count))
	dst = append(dst, 0) // no checksums
	return binary.LittleEndian.AppendUint32(dst, seekMagic)
}

// endOfSummary is the end of the file, or the start of the seek table there.
func endOfSummary(r io.ReaderAt, size int64) (int64, error) {
	footer, err := readRange(r, max(0, size-seekFooterSize), min(size, seekFooterSize))
	if err != nil || len(footer) < seekFooterSize || binary.LittleEndian.Uint32(footer[5:]) != seekMagic {
		return size, err
	}
	entry := int64(seekEntrySize)
	if footer[4]&0x80 != 0 {
		entry = 12 // with checksums
	}
	table := skippableSize + int64(binary.LittleEndian.Uint32(footer))*entry + seekFooterSize
	if table > size {
		return 0, fmt.Errorf("%w: its seek table doesn't fit its size", ErrTruncated)
	}
	return size - table, nil
}
