// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"encoding/binary"
	"errors"

	"appliance.io/backup-operator/internal/archive/index"
)

// head checks what comes before the first frame.
func (v *verifier) head() error {
	fixed := int64(len(preamble))
	magic, err := readRange(v.archive.r, 0, fixed+skippableSize)
	if err != nil {
		return v.unreadable(0, fixed+skippableSize, err)
	}
	length := skippableSize + int64(binary.LittleEndian.Uint32(magic[fixed+4:]))
	if err := v.record(place{fixed, length}, kindHeader, 0); err != nil {
		return err
	}
	if v.cursor = fixed + length; v.cursor > v.archive.size {
		v.cursor = v.archive.size
	}
	err = v.padding()
	v.seek.skip(v.cursor)
	return err
}

// unreadable tells that a part can't be read, if that is because of damage.
func (v *verifier) unreadable(offset, length int64, err error) error {
	if !isDamage(err) && !errors.Is(err, ErrTruncated) {
		return err
	}
	return v.wrong(offset, length, "%v", err)
}

// record checks a record: that it is good, and that nothing is in it but what belongs there.
func (v *verifier) record(p place, kind byte, tail int) error {
	frame, err := readRange(v.archive.r, p.Offset, min(p.Length, max(0, v.archive.size-p.Offset)))
	if err != nil {
		return v.unreadable(p.Offset, p.Length, err)
	}
	body, _, err := parseRecord(frame, kind)
	if err != nil || len(frame) != skippableSize+recordHeader+len(body)+crcSize+tail {
		return v.wrong(p.Offset, p.Length, "the record of kind %c is damaged", kind)
	}
	return nil
}

// padding checks the zeros from the cursor on, up to a whole block of the file system.
func (v *verifier) padding() error {
	want := appendPad(make([]byte, v.cursor%index.Alignment), 0)[v.cursor%index.Alignment:]
	if len(want) == 0 {
		return nil
	}
	got, err := readRange(v.archive.r, v.cursor, min(int64(len(want)), max(0, v.archive.size-v.cursor)))
	at := v.cursor
	v.cursor += int64(len(want))
	if err != nil {
		return v.unreadable(at, int64(len(want)), err)
	}
	if !bytes.Equal(got, want) {
		return v.wrong(at, int64(len(want)), "the padding is not what it should be")
	}
	return nil
}

// advance accounts for what is between the cursor and an offset: records of the index, and padding after them.
func (v *verifier) advance(to int64) error {
	start := v.cursor
	blocks := v.archive.blocks
	for v.cursor < to {
		switch {
		case v.records < len(blocks) && blocks[v.records].Offset == v.cursor:
			ref := &blocks[v.records]
			if err := v.record(place{ref.Offset, ref.Length}, kindIndex, 0); err != nil {
				return err
			}
			v.records++
			v.cursor += ref.Length
			continue
		case v.cursor%index.Alignment != 0:
			if err := v.padding(); err != nil {
				return err
			}
			continue
		}
		break
	}
	if v.cursor != to {
		v.blind = true
		if err := v.wrong(v.cursor, max(0, to-v.cursor), "something is here that doesn't belong to the archive"); err != nil {
			return err
		}
	}
	v.cursor = to
	v.seek.skip(to - start)
	return nil
}

// ending checks what comes after the index: its directory, the summary and the seek table.
func (v *verifier) ending() error {
	if n := len(v.archive.blocks); v.records < n {
		v.blind = true
		if err := v.wrong(v.cursor, 0, "%d records of the index aren't where they should be", n-v.records); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		place
		kind byte
		tail int
	}{{v.archive.directory, kindDirectory, 0}, {v.archive.summary, kindSummary, tailSize}} {
		if err := v.advance(part.Offset); err != nil {
			return err
		}
		if err := v.record(part.place, part.kind, part.tail); err != nil {
			return err
		}
		v.cursor += part.Length
		v.seek.skip(part.Length)
	}
	if v.blind {
		return nil // That something is missing has been told, and so the sums are wrong.
	}
	if !v.stream.ended {
		if err := v.wrong(v.archive.directory.Offset, 0, "the tar stream has no end"); err != nil {
			return err
		}
	}
	if err := v.counts(); err != nil {
		return err
	}
	return v.seekTable()
}

// seekTable compares the seek table with the one that follows from the index.
func (v *verifier) seekTable() error {
	want := v.seek.appendTo(nil)
	length := v.archive.size - v.cursor
	if length != int64(len(want)) {
		return v.wrong(v.cursor, length, "the seek table has %d bytes, and should have %d", length, len(want))
	}
	got, err := readRange(v.archive.r, v.cursor, length)
	if err != nil {
		return v.unreadable(v.cursor, length, err)
	}
	if !bytes.Equal(got, want) {
		return v.wrong(v.cursor, length, "the seek table is not what the index says")
	}
	return nil
}

// counts compares the summary with what was counted.
func (v *verifier) counts() error {
	said, counted := &v.archive.info.Summary, &v.counted
	type pair struct {
		what          string
		said, counted int64
	}
	pairs := []pair{
		{"entries", said.Entries, counted.Entries},
		{"files", said.Files, counted.Files},
		{"directories", said.Directories, counted.Directories},
		{"symlinks", said.Symlinks, counted.Symlinks},
		{"hardLinks", said.HardLinks, counted.HardLinks},
		{"specials", said.Specials, counted.Specials},
		{"bytesRead", said.BytesRead, counted.BytesRead},
		{"bytesTar", said.BytesTar, counted.BytesTar},
		{"bytesWritten", said.BytesWritten, v.archive.summary.Offset},
	}
	for i, s := range said.Sources {
		c := counted.Sources[i]
		pairs = append(pairs,
			pair{"entries of " + s.Name, s.Entries, c.Entries},
			pair{"files of " + s.Name, s.Files, c.Files},
			pair{"bytes of " + s.Name, s.Bytes, c.Bytes})
	}
	for _, p := range pairs {
		if p.said != p.counted {
			where := v.archive.summary
			err := v.wrong(where.Offset, where.Length, "the summary says %d %s, and there are %d", p.said, p.what, p.counted)
			if err != nil {
				return err
			}
		}
	}
	return nil
}
