// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// place is a range of the file.
type place struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// ending is the summary record: what is in the archive, and where its index is.
type ending struct {
	Summary
	// Directory is the record that lists the blocks of the index; absent in format 1.
	Directory *place `json:"directory,omitempty"`
}

// appendSummary appends the summary record, when offset bytes of the archive are written.
func appendSummary(dst []byte, s *Summary, directory *place, offset int64) ([]byte, error) {
	tail := binary.LittleEndian.AppendUint64(nil, uint64(offset))
	return appendJSON(dst, kindSummary, ending{*s, directory}, append(tail, tailSignature...))
}

// ReadInfo reads what an archive says about itself from its head and tail alone. size is the size of the file. Errors
// are ErrNotArchive, ErrTruncated, ErrFutureFormat, or what r returned. With ErrTruncated and ErrFutureFormat,
// Info.Header is set as far as it could be read.
func ReadInfo(r io.ReaderAt, size int64) (Info, error) {
	var info Info
	if err := readHeader(r, size, &info.Header); err != nil {
		return info, err
	}
	end, _, err := readEnding(r, size)
	info.Summary = end.Summary
	return info, err
}

// readHeader reads the header. A file that isn't an archive by its first bytes, or is of a newer format by its header, but
// has the summary of an archive of a format that is known, is an archive with a damaged header.
func readHeader(r io.ReaderAt, size int64, h *Header) error {
	err := readHead(r, size, h)
	if !errors.Is(err, ErrNotArchive) && !errors.Is(err, ErrFutureFormat) {
		return err
	}
	if _, _, endErr := readEnding(r, size); endErr != nil {
		return err
	}
	*h = Header{}
	return fmt.Errorf("%w: its header is damaged", ErrTruncated)
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
	head, err = readRange(r, int64(len(preamble)), min(size-int64(len(preamble)), skippableSize+min(length, jsonRecordLimit)))
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

// jsonRecordLimit is the size of the biggest record of JSON.
const jsonRecordLimit = int64(recordHeader + maxJSON + crcSize + tailSize)

// readEnding finds and reads the summary record. It returns also where that is.
func readEnding(r io.ReaderAt, size int64) (ending, place, error) {
	var e ending
	end, err := endOfSummary(r, size)
	if err != nil {
		return e, place{}, err
	}
	tail, err := readRange(r, max(0, end-int64(tailSize)), min(end, int64(tailSize)))
	if err != nil {
		return e, place{}, err
	}
	if len(tail) < tailSize || string(tail[8:]) != tailSignature {
		return e, place{}, fmt.Errorf("%w: it doesn't end as an archive does", ErrTruncated)
	}
	start := binary.LittleEndian.Uint64(tail)
	if start >= uint64(end) || uint64(end)-start > uint64(skippableSize+jsonRecordLimit) {
		return e, place{}, fmt.Errorf("%w: its end doesn't fit its size", ErrTruncated)
	}
	where := place{int64(start), end - int64(start)}
	frame, err := readRange(r, where.Offset, where.Length)
	if err != nil {
		return e, where, err
	}
	text, format, err := parseRecord(frame, kindSummary)
	if err == nil && format > Format {
		return e, where, fmt.Errorf("%w: format %d", ErrFutureFormat, format)
	}
	if err != nil || json.Unmarshal(text, &e) != nil {
		return ending{}, where, fmt.Errorf("%w: its summary can't be read", ErrTruncated)
	}
	return e, where, nil
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
