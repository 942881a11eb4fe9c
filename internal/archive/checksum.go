// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// mayHold tells whether stored bytes may be those of content, by the checksum of its content that a zstd frame ends in.
// That is much quicker to find out than by decompressing, and mostly the answer is no.
func mayHold(stored, content []byte) bool {
	sum, ok := contentChecksum(stored)
	return !ok || sum == uint32(xxhash.Sum64(content))
}

// contentChecksum finds the checksum of the content in stored bytes that begin with a zstd frame. It is false if there is
// none.
func contentChecksum(stored []byte) (uint32, bool) {
	end, ok := frameEnd(stored)
	if !ok || end > len(stored) {
		return 0, false
	}
	return binary.LittleEndian.Uint32(stored[end-4:]), true
}

// frameEnd finds where a zstd frame ends that stored bytes begin with, and that has a checksum: RFC 8878, section 3.1.1. It
// is false if there is no such frame. An end beyond the bytes means that it takes so many to know more.
func frameEnd(stored []byte) (int, bool) {
	const checksumFlag, singleSegment, maxBlock = 1 << 2, 1 << 5, 128 << 10
	if len(stored) < 5 || binary.LittleEndian.Uint32(stored) != frameMagic || stored[4]&checksumFlag == 0 {
		return 0, false
	}
	descriptor := stored[4]
	at := 5 + [4]int{0, 1, 2, 4}[descriptor&3] + [4]int{0, 2, 4, 8}[descriptor>>6]
	switch {
	case descriptor&singleSegment == 0:
		at++ // the size of the window
	case descriptor>>6 == 0:
		at++ // the size of the content, in one byte
	}
	for at+3 <= len(stored) {
		block := int(stored[at]) | int(stored[at+1])<<8 | int(stored[at+2])<<16
		size, kind := block>>3, block>>1&3
		switch {
		case kind == 3 || size > maxBlock:
			return 0, false
		case kind == 1:
			size = 1 // one byte, many times
		}
		at += 3 + size
		if block&1 == 1 {
			return at + 4, true
		}
	}
	return at + 3, true
}
