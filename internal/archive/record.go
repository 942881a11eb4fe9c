// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"appliance.io/backup-operator/internal/archive/index"
)

// Every archive begins with an empty zstd frame, for there are programs that look for one to know a zstd file and don't
// take a skippable frame for it (GNU tar without --zstd).
var preamble = []byte{0x28, 0xB5, 0x2F, 0xFD, 0x20, 0x00, 0x01, 0x00, 0x00}

// Records are skippable frames: magic, size of the payload, payload. The payload is the signature, the kind, a zero byte,
// the format's version, the length of the body, the body, and a CRC-32C of all that.
const (
	recordMagic   = 0x184D2A5A
	signature     = "ABOARCHV"
	kindHeader    = 'H' // JSON
	kindIndex     = 'I' // a block of the index, compressed
	kindDirectory = 'D' // the directory of the blocks, compressed
	kindSummary   = 'S' // JSON

	skippableSize = 8
	recordHeader  = len(signature) + 1 + 1 + 2 + 4
	crcSize       = 4
	maxJSON       = 1 << 20
	maxCompressed = 256 << 20
)

// The summary's frame ends in a tail of fixed size: where the frame begins, counted from the start of the archive, and
// a signature. So it can be found from the end of the file.
const (
	tailSignature = "ABOTAIL\n"
	tailSize      = 8 + len(tailSignature)
)

// padMagic is the magic number of the skippable frames of zeros that fill frames up to whole blocks of the file system.
const padMagic = 0x184D2A50

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maxBody is the size of the biggest body that a record of a kind may have.
func maxBody(kind byte) int64 {
	if kind == kindHeader || kind == kindSummary {
		return maxJSON
	}
	return maxCompressed
}

// appendRecord appends a record, followed by tail within the same frame.
func appendRecord(dst []byte, kind byte, body, tail []byte) ([]byte, error) {
	if int64(len(body)) > maxBody(kind) {
		return dst, fmt.Errorf("%d bytes are more than the %d that a record of kind %c may have", len(body), maxBody(kind), kind)
	}
	dst = binary.LittleEndian.AppendUint32(dst, recordMagic)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(recordHeader+len(body)+crcSize+len(tail)))
	start := len(dst)
	dst = append(dst, signature...)
	dst = append(dst, kind, 0)
	dst = binary.LittleEndian.AppendUint16(dst, Format)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(body)))
	dst = append(dst, body...)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	return append(dst, tail...), nil
}

func appendJSON(dst []byte, kind byte, v any, tail []byte) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return dst, err
	}
	return appendRecord(dst, kind, text, tail)
}

// appendHead appends what an archive begins with, up to where the first frame is.
func appendHead(dst []byte, h Header) ([]byte, error) {
	start := len(dst)
	dst, err := appendJSON(append(dst, preamble...), kindHeader, h, nil)
	return appendPad(dst, start), err
}

// appendPad fills dst[start:] up to a multiple of index.Alignment with one skippable frame, so that what comes next can
// be shared with another file. What is a multiple already is left as it is.
func appendPad(dst []byte, start int) []byte {
	missing := padTo(int64(len(dst) - start))
	if missing == 0 {
		return dst
	}
	dst = binary.LittleEndian.AppendUint32(dst, padMagic)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(missing-skippableSize))
	return append(dst, zeros[:missing-skippableSize]...)
}

// padTo is the size of the padding at an offset: none, or a skippable frame.
func padTo(offset int64) int64 {
	missing := -offset & (index.Alignment - 1)
	if missing > 0 && missing < skippableSize {
		missing += index.Alignment
	}
	return missing
}

// errDamaged means that bytes aren't a record of the kind that was looked for.
var errDamaged = errors.New("damaged record")

// parseRecord finds a record's body in its frame, which is given whole.
func parseRecord(frame []byte, kind byte) (body []byte, format int, err error) {
	le := binary.LittleEndian
	if len(frame) < skippableSize+recordHeader || le.Uint32(frame) != recordMagic {
		return nil, 0, errDamaged
	}
	payload := frame[skippableSize:]
	if int64(le.Uint32(frame[4:])) != int64(len(payload)) ||
		string(payload[:len(signature)]) != signature || payload[len(signature)] != kind {
		return nil, 0, errDamaged
	}
	format = int(le.Uint16(payload[len(signature)+2:]))
	end := int64(recordHeader) + int64(le.Uint32(payload[recordHeader-4:]))
	if end > int64(recordHeader)+maxBody(kind) || end+crcSize > int64(len(payload)) {
		return nil, format, errDamaged
	}
	if crc32.Checksum(payload[:end], castagnoli) != le.Uint32(payload[end:]) {
		return nil, format, errDamaged
	}
	return payload[recordHeader:end], format, nil
}
