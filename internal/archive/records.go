// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"appliance.io/backup-operator/internal/archive/index"
)

// CheckRecords checks everything in an archive but its data frames: header, index, directory, summary and seek table. An
// archive that passes can be listed, and each of its frames can be found. The errors are those of Open. Archives without
// an index have less to check.
//
// Records of the index are read in pieces and never as a whole. What is read comes to some hundredths of the archive.
func CheckRecords(r io.ReaderAt, size int64) error {
	c := &recordChecker{r: r, size: size}
	if err := c.header(); err != nil {
		return fmt.Errorf("the header: %w", err)
	}
	a, err := Open(r, size)
	if errors.Is(err, ErrNoIndex) {
		return nil
	}
	if err != nil {
		return err
	}
	defer a.decoder.Close()
	for i, ref := range a.blocks {
		next := a.directory.Offset
		if i+1 < len(a.blocks) {
			next = a.blocks[i+1].Offset
		}
		err := c.record(place{ref.Offset, ref.Length}, kindIndex, 0)
		if err == nil && ref.Offset+ref.Length != next {
			err = c.padding(ref.Offset + ref.Length)
		}
		if err != nil {
			return fmt.Errorf("block %d of the index: %w", i, err)
		}
	}
	if err := c.record(a.directory, kindDirectory, 0); err != nil {
		return fmt.Errorf("directory of the index: %w", err)
	}
	if err := c.record(a.summary, kindSummary, tailSize); err != nil {
		return fmt.Errorf("the summary: %w", err)
	}
	if err := c.seekTable(a.summary.Offset+a.summary.Length, a.info.Summary.BytesTar); err != nil {
		return fmt.Errorf("the seek table: %w", err)
	}
	return nil
}

// recordChecker checks records piece by piece.
type recordChecker struct {
	r    io.ReaderAt
	size int64
	buf  [32 << 10]byte
}

var errNotAsWritten = fmt.Errorf("%w: it is not what was written", ErrDamaged)

// header checks the preamble, the header record and the padding after it.
func (c *recordChecker) header() error {
	var h Header
	if err := readHeader(c.r, c.size, &h); err != nil {
		return err
	}
	start := int64(len(preamble))
	frame, err := readRange(c.r, start, skippableSize)
	if err != nil {
		return err
	}
	length := skippableSize + int64(binary.LittleEndian.Uint32(frame[4:]))
	if err := c.record(place{start, length}, kindHeader, 0); err != nil {
		return err
	}
	if h.Format < 2 {
		return nil // Nothing was padded then.
	}
	return c.padding(start + length)
}

// record checks that a record of a kind fills its place, with so many bytes after its checksum.
func (c *recordChecker) record(p place, kind byte, tail int) error {
	const fixed = int64(skippableSize + recordHeader)
	if p.Offset < 0 || p.Length < fixed || p.Offset > c.size || p.Length > c.size-p.Offset {
		return errNotAsWritten
	}
	head, err := readRange(c.r, p.Offset, fixed)
	if err != nil {
		return err
	}
	payload := head[skippableSize:]
	body := int64(binary.LittleEndian.Uint32(payload[recordHeader-4:]))
	size := int64(binary.LittleEndian.Uint32(head[4:]))
	if binary.LittleEndian.Uint32(head) != recordMagic || size != p.Length-skippableSize ||
		string(payload[:len(signature)]) != signature || payload[len(signature)] != kind ||
		p.Length != fixed+body+crcSize+int64(tail) {
		return errNotAsWritten
	}
	sum := crc32.Checksum(payload, castagnoli)
	err = c.pieces(p.Offset+fixed, body, func(piece []byte) { sum = crc32.Update(sum, castagnoli, piece) })
	if err != nil {
		return err
	}
	stored, err := readRange(c.r, p.Offset+fixed+body, crcSize)
	if err == nil && binary.LittleEndian.Uint32(stored) != sum {
		err = errNotAsWritten
	}
	return err
}

// padding checks what fills up to a whole block of the file system.
func (c *recordChecker) padding(from int64) error {
	within := int(from % index.Alignment)
	want := appendPad(make([]byte, within), 0)[within:]
	got, err := readRange(c.r, from, int64(len(want)))
	if err == nil && !bytes.Equal(got, want) {
		err = errNotAsWritten
	}
	return err
}

// seekTable checks the seek table that begins at an offset, if there is one: its sizes must add up to the file before it
// and to the tar stream.
func (c *recordChecker) seekTable(start, content int64) error {
	length := c.size - start
	if length == 0 {
		return nil
	}
	entries := (length - skippableSize - seekFooterSize) / seekEntrySize
	if entries < 0 {
		return errNotAsWritten
	}
	head, err := readRange(c.r, start, skippableSize)
	if err != nil {
		return err
	}
	foot, err := readRange(c.r, c.size-seekFooterSize, seekFooterSize)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	if le.Uint32(head) != seekTableMagic || int64(le.Uint32(head[4:])) != length-skippableSize ||
		int64(le.Uint32(foot)) != entries || foot[4] != 0 || length != skippableSize+entries*seekEntrySize+seekFooterSize {
		return errNotAsWritten
	}
	var stored, expanded int64
	err = c.pieces(start+skippableSize, entries*seekEntrySize, func(piece []byte) {
		for ; len(piece) > 0; piece = piece[seekEntrySize:] {
			stored += int64(le.Uint32(piece))
			expanded += int64(le.Uint32(piece[4:]))
		}
	})
	if err == nil && (stored != start || expanded != content) {
		err = errNotAsWritten
	}
	return err
}

// pieces reads n bytes from an offset on, a piece at a time. All but the last are as long as the buffer.
func (c *recordChecker) pieces(offset, n int64, each func([]byte)) error {
	for n > 0 {
		piece := c.buf[:min(n, int64(len(c.buf)))]
		if got, err := c.r.ReadAt(piece, offset); got < len(piece) {
			if err == nil || errors.Is(err, io.EOF) {
				err = ErrTruncated
			}
			return fmt.Errorf("read archive: %w", err)
		}
		each(piece)
		offset, n = offset+int64(len(piece)), n-int64(len(piece))
	}
	return nil
}
