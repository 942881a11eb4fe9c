// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
)

// maxLevel is the highest zstd level that is not "ultra", which takes memory out of proportion.
const maxLevel = 19

// compressor turns parts of the tar stream into frames. It is not for concurrent use.
type compressor struct {
	encoder *zstd.Encoder
}

// encoderLevel is the encoder's level that stands for one of zstd's. The encoder has four. Its fastest is what level 3
// asks for: against the zstd command at level 3 it takes less time for a few percent more space, where the next takes
// more time for hardly less.
func encoderLevel(level int) zstd.EncoderLevel {
	switch {
	case level <= 3:
		return zstd.SpeedFastest
	case level <= 5:
		return zstd.SpeedDefault
	case level <= 9:
		return zstd.SpeedBetterCompression
	default:
		return zstd.SpeedBestCompression
	}
}

func newCompressor(level int) (*compressor, error) {
	if level == 0 {
		level = DefaultLevel
	}
	if level < 1 || level > maxLevel {
		return nil, invalidLevel(level)
	}
	encoder, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(encoderLevel(level)),
		zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(true),
		zstd.WithWindowSize(2*chunkSize))
	if err != nil {
		return nil, fmt.Errorf("zstd level %d: %w", level, err)
	}
	return &compressor{encoder: encoder}, nil
}

func invalidLevel(level int) error {
	return fmt.Errorf("%w %d: give one from 1 to %d", ErrInvalidLevel, level, maxLevel)
}

// appendFrame appends one zstd frame that holds in, or nothing if in is empty.
func (c *compressor) appendFrame(dst, in []byte) []byte {
	switch {
	case len(in) == 0:
		return dst
	case looksRandom(in):
		return appendRawFrame(dst, in)
	default:
		return c.encoder.EncodeAll(in, dst)
	}
}

// A sample of the data decides whether compressing it is worth the time.
const (
	samples    = 64
	sampleSize = 256
	// randomEntropy is the entropy, in bits per byte, from which on data is taken to be random. As many random bytes
	// as a sample has measure about 7.989; compressed video and archives, at least 7.95; text, 5.
	randomEntropy = 7.94
)

// looksRandom tells whether data is compressed or encrypted already, as recordings are.
func looksRandom(data []byte) bool {
	if len(data) < 4*samples*sampleSize {
		return false // a sample wouldn't be much less than all
	}
	var counts [256]uint32
	stride := (len(data) - sampleSize) / (samples - 1)
	for i := range samples {
		for _, b := range data[i*stride : i*stride+sampleSize] {
			counts[b]++
		}
	}
	const total = samples * sampleSize
	bits := 0.0
	for _, n := range counts {
		if n > 0 {
			bits -= float64(n) * math.Log2(float64(n)/total)
		}
	}
	return bits/total >= randomEntropy
}

// The parts of the zstd format that raw frames need: RFC 8878, section 3.1.1.
const (
	frameMagic    = 0xFD2FB528
	maxRawBlock   = 128 << 10
	rawDescriptor = 2<<6 | 1<<5 | 1<<2 // four bytes of content size, single segment, checksum
)

// appendRawFrame appends a frame that holds the data as it is.
func appendRawFrame(dst, data []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, frameMagic)
	dst = append(dst, rawDescriptor)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(data)))
	for rest := data; ; {
		n := min(len(rest), maxRawBlock)
		last := 0
		if n == len(rest) {
			last = 1
		}
		h := uint32(n<<3 | last) // type 0, raw
		dst = append(dst, byte(h), byte(h>>8), byte(h>>16))
		dst = append(dst, rest[:n]...)
		if rest = rest[n:]; len(rest) == 0 {
			break
		}
	}
	return binary.LittleEndian.AppendUint32(dst, uint32(xxhash.Sum64(data)))
}
