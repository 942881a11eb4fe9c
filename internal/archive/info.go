// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Every archive begins with an empty zstd frame, for there are programs that look for one to know a zstd file and don't
// take a skippable frame for it (GNU tar without --zstd).
var preamble = []byte{0x28, 0xB5, 0x2F, 0xFD, 0x20, 0x00, 0x01, 0x00, 0x00}

// Skippable frames of this package: magic, size of the payload, payload. The payload of a record is the signature, the
// kind, a zero byte, the format's version, the length of the JSON text, that text, and a CRC-32C of all that.
const (
	skippableMagic = 0x184D2A5A
	signature      = "ABOARCHV"
	kindHeader     = 'H'
	kindSummary    = 'S'

	skippableSize = 8
	recordHeader  = len(signature) + 1 + 1 + 2 + 4
	maxJSON       = 1 << 20
)

// The summary's frame ends in a tail of fixed size: where the frame begins, counted from the start of the archive, and
// a signature. So it can be found from the end of the file.
const (
	tailSignature = "ABOTAIL\n"
	tailSize      = 8 + len(tailSignature)
)

// A table of the zstd seekable format may follow the summary. It is the last thing in a file, if it is there.
const (
	seekMagic      = 0x8F92EAB1
	seekFooterSize = 9
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendRecord appends a skippable frame that holds v as JSON, followed by tail within the frame.
func appendRecord(dst []byte, kind byte, v any, tail []byte) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return dst, err
	}
	if len(text) > maxJSON {
		return dst, fmt.Errorf("%d bytes of JSON are more than the %d that a record may have", len(text), maxJSON)
	}
	dst = binary.LittleEndian.AppendUint32(dst, skippableMagic)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(recordHeader+len(text)+4+len(tail)))
	start := len(dst)
	dst = append(dst, signature...)
	dst = append(dst, kind, 0)
	dst = binary.LittleEndian.AppendUint16(dst, Format)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(text)))
	dst = append(dst, text...)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	return append(dst, tail...), nil
}

// appendHead appends what an archive begins with.
func appendHead(dst []byte, h Header) ([]byte, error) {
	return appendRecord(append(dst, preamble...), kindHeader, h, nil)
}

// appendSummary appends what an archive ends with, when offset bytes of it are written.
func appendSummary(dst []byte, s *Summary, offset int64) ([]byte, error) {
	tail := binary.LittleEndian.AppendUint64(nil, uint64(offset))
	return appendRecord(dst, kindSummary, s, append(tail, tailSignature...))
}

// errDamaged means that bytes aren't a record of the kind that was looked for.
var errDamaged = errors.New("damaged record")

// parseRecord finds a record's JSON text in its frame, which is given whole.
func parseRecord(frame []byte, kind byte) (text []byte, format int, err error) {
	le := binary.LittleEndian
	if len(frame) < skippableSize+recordHeader || le.Uint32(frame) != skippableMagic {
		return nil, 0, errDamaged
	}
	payload := frame[skippableSize:]
	if int64(le.Uint32(frame[4:])) != int64(len(payload)) ||
		string(payload[:len(signature)]) != signature || payload[len(signature)] != kind {
		return nil, 0, errDamaged
	}
	format = int(le.Uint16(payload[len(signature)+2:]))
	end := int64(recordHeader) + int64(le.Uint32(payload[recordHeader-4:]))
	if end > int64(recordHeader)+maxJSON || end+4 > int64(len(payload)) {
		return nil, format, errDamaged
	}
	if crc32.Checksum(payload[:end], castagnoli) != le.Uint32(payload[end:]) {
		return nil, format, errDamaged
	}
	return payload[recordHeader:end], format, nil
}

// ReadInfo reads what an archive says about itself from its head and tail alone. size is the size of the file. Errors
// are ErrNotArchive, ErrTruncated, ErrFutureFormat, or what r returned. With ErrTruncated and ErrFutureFormat,
// Info.Header is set as far as it could be read.
func ReadInfo(r io.ReaderAt, size int64) (Info, error) {
	var info Info
	if err := readHead(r, size, &info.Header); err != nil {
		return info, err
	}
	err := readSummary(r, size, &info.Summary)
	return info, err
}

// readHead reads the header.
func readHead(r io.ReaderAt, size int64, h *Header) error {
	fixed := len(preamble) + skippableSize + recordHeader
	head, err := readRange(r, 0, min(size, int64(fixed)))
	if err != nil {
		return err
	}
	// A file that is cut within its first bytes can't be told from a stranger's.
	if len(head) < fixed || !bytes.Equal(head[:len(preamble)], preamble) ||
		string(head[len(preamble)+skippableSize:][:len(signature)]) != signature {
		return ErrNotArchive
	}
	length := int64(binary.LittleEndian.Uint32(head[len(preamble)+4:]))
	head, err = readRange(r, int64(len(preamble)), min(size-int64(len(preamble)), skippableSize+min(length, recordHeaderLimit)))
	if err != nil {
		return err
	}
	text, format, err := parseRecord(head, kindHeader)
	if err == nil && json.Unmarshal(text, h) != nil {
		err = errDamaged
	}
	switch {
	case format > Format:
		return fmt.Errorf("%w: format %d, and this program reads up to %d; use a newer one", ErrFutureFormat, format, Format)
	case err != nil:
		return fmt.Errorf("%w: its header can't be read", ErrTruncated)
	}
	return nil
}

// recordHeaderLimit is the size of the biggest record.
const recordHeaderLimit = int64(recordHeader + maxJSON + 4 + tailSize)

// readSummary finds and reads the summary.
func readSummary(r io.ReaderAt, size int64, s *Summary) error {
	end, err := endOfSummary(r, size)
	if err != nil {
		return err
	}
	tail, err := readRange(r, max(0, end-int64(tailSize)), min(end, int64(tailSize)))
	if err != nil {
		return err
	}
	if len(tail) < tailSize || string(tail[8:]) != tailSignature {
		return fmt.Errorf("%w: it doesn't end as an archive does", ErrTruncated)
	}
	start := binary.LittleEndian.Uint64(tail)
	if start >= uint64(end) || uint64(end)-start > uint64(skippableSize+recordHeaderLimit) {
		return fmt.Errorf("%w: its end doesn't fit its size", ErrTruncated)
	}
	frame, err := readRange(r, int64(start), end-int64(start))
	if err != nil {
		return err
	}
	text, _, err := parseRecord(frame, kindSummary)
	if err != nil || json.Unmarshal(text, s) != nil {
		return fmt.Errorf("%w: its summary can't be read", ErrTruncated)
	}
	return nil
}

// endOfSummary is the end of the file, or the start of the seek table there.
func endOfSummary(r io.ReaderAt, size int64) (int64, error) {
	footer, err := readRange(r, max(0, size-seekFooterSize), min(size, seekFooterSize))
	if err != nil || len(footer) < seekFooterSize || binary.LittleEndian.Uint32(footer[5:]) != seekMagic {
		return size, err
	}
	entry := int64(8)
	if footer[4]&0x80 != 0 {
		entry = 12 // with checksums
	}
	table := skippableSize + int64(binary.LittleEndian.Uint32(footer))*entry + seekFooterSize
	if table > size {
		return 0, fmt.Errorf("%w: its seek table doesn't fit its size", ErrTruncated)
	}
	return size - table, nil
}

// readRange reads exactly n bytes. A file that is shorter than it was said to be is truncated.
func readRange(r io.ReaderAt, offset, n int64) ([]byte, error) {
	buf := make([]byte, n)
	got, err := r.ReadAt(buf, offset)
	switch {
	case int64(got) == n:
		return buf, nil
	case err == nil || errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w: it is shorter than it was", ErrTruncated)
	default:
		return nil, fmt.Errorf("read archive: %w", err)
	}
}
