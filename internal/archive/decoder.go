// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"slices"

	"appliance.io/backup-operator/internal/archive/index"
	"github.com/klauspost/compress/zstd"
)

// Decoder gives back the content of frames. It may be used by several goroutines at the same time.
type Decoder struct {
	zstd *zstd.Decoder
}

// NewDecoder returns a decoder that decodes up to so many frames at the same time; others wait.
func NewDecoder(concurrency int) *Decoder {
	// The limits are those of buffers that callers provide, so that no frame says itself how much memory it takes.
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(concurrency), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(index.MaxContent), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic("zstd refuses constant options: " + err.Error())
	}
	return &Decoder{zstd: d}
}

// Close gives the decoder's memory back. It must not be used any more.
func (d *Decoder) Close() { d.zstd.Close() }

// Content appends a frame's part of the tar stream to dst. stored is what ReadStored gave. The error is ErrDamaged when
// the stored bytes aren't zstd frames that hold exactly as much as the index says.
func (d *Decoder) Content(dst, stored []byte, f index.Frame) ([]byte, error) {
	out, err := d.expand(dst, stored, f.Content)
	if err != nil {
		return dst, fmt.Errorf("%w: a frame can't be decompressed: %w", ErrDamaged, err)
	}
	return out, nil
}

// Salvage is Content where the stored bytes may be damaged: what follows the zstd frame that they begin with doesn't matter.
func (d *Decoder) Salvage(dst, stored []byte, f index.Frame) ([]byte, error) {
	if end, ok := frameEnd(stored); ok && end <= len(stored) {
		stored = stored[:end]
	}
	return d.Content(dst, stored, f)
}

// expand appends what compressed decompresses to, which must be n bytes.
func (d *Decoder) expand(dst, compressed []byte, n int64) ([]byte, error) {
	dst = slices.Grow(dst, int(n))
	full := len(dst) + int(n)
	// What is beyond the capacity would be an error, and so nothing is ever allocated beyond it.
	out, err := d.zstd.DecodeAll(compressed, dst[:len(dst):full])
	if err != nil {
		return dst, err
	}
	if len(out) != full {
		return dst, fmt.Errorf("%d bytes came out, and the index says %d", len(out)-len(dst), n)
	}
	return out, nil
}
