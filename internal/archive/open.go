// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"appliance.io/backup-operator/internal/archive/index"
	"github.com/klauspost/compress/zstd"
)

// Archive is an archive that is open for reading. Its methods may be used by several goroutines at the same time.
type Archive struct {
	r         io.ReaderAt
	size      int64
	info      Info
	directory place
	summary   place
	blocks    []index.BlockRef
	decoder   *Decoder

	// Of an archive that was opened by Salvage: why, what is known before each block, and whether the stream's end is there.
	damage error
	starts []salvagedStart
	ended  bool
}

// Open reads what an archive says about itself, and the directory of its index. size is the size of the file. Errors
// are ErrNotArchive, ErrTruncated, ErrFutureFormat, ErrNoIndex, ErrDamaged, or what r returned.
func Open(r io.ReaderAt, size int64) (*Archive, error) {
	a := &Archive{r: r, size: size, decoder: NewDecoder(0)}
	if err := readHead(r, size, &a.info.Header); err != nil {
		return nil, err
	}
	if err := a.openEnding(); err != nil {
		return nil, err
	}
	return a, nil
}

// openEnding reads the summary, and the directory of the index.
func (a *Archive) openEnding() error {
	end, where, err := readEnding(a.r, a.size)
	if err != nil {
		return err
	}
	a.info.Summary, a.summary = end.Summary, where
	if end.Directory == nil {
		return fmt.Errorf("%w: it is of format %d", ErrNoIndex, a.info.Header.Format)
	}
	a.directory = *end.Directory
	raw, err := a.readCompressed(nil, kindDirectory, a.directory)
	if err != nil {
		return fmt.Errorf("directory of the index: %w", err)
	}
	a.blocks, err = index.DecodeDirectory(raw, a.directory.Offset)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// Info is what the archive says about itself.
func (a *Archive) Info() Info { return a.info }

// Blocks lists the blocks of the index, in the order of the tar stream. The caller must not change them.
func (a *Archive) Blocks() []index.BlockRef { return a.blocks }

// ReadBlock reads the i-th block of the index. It uses b's memory again. The block agrees with what the directory says of
// it. The error is ErrDamaged, or what the reader returned.
func (a *Archive) ReadBlock(i int, b *index.Block) error {
	if a.starts != nil {
		return a.ScanBlock(context.Background(), i, b)
	}
	ref := &a.blocks[i]
	raw, err := a.readCompressed(nil, kindIndex, place{ref.Offset, ref.Length})
	if err == nil {
		if err = index.DecodeBlock(raw, b); err == nil {
			err = agree(ref, b)
		}
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	if err != nil {
		b.Reset()
		return fmt.Errorf("block %d of the index: %w", i, err)
	}
	return nil
}

// agree tells whether a block is what the directory says.
func agree(ref *index.BlockRef, b *index.Block) error {
	stored, content := int64(0), int64(0)
	for _, f := range b.Frames {
		stored += f.Stored
		content += f.Content
	}
	first := ""
	if len(b.Entries) > 0 {
		first = b.Entries[0].Path
	}
	stranger := func(e index.Entry) bool { return index.SourceOf(e.Path) != ref.Source }
	if len(b.Frames) != ref.Frames || len(b.Entries) != ref.Entries || stored != ref.Stored || content != ref.Content ||
		first != ref.First || slices.ContainsFunc(b.Entries, stranger) {
		return errors.New("it isn't what the directory says")
	}
	return nil
}

// ReadStored appends a frame's stored bytes, which begin at offset, to dst. The error is ErrDamaged when they aren't
// those that were written, or what the reader returned. Bytes that could be read are there with an error too.
func (a *Archive) ReadStored(dst []byte, offset int64, f index.Frame) ([]byte, error) {
	if offset < 0 || f.Stored < 0 || f.Stored > a.size || offset > a.size-f.Stored {
		return dst, fmt.Errorf("%w: a frame is beyond the end", ErrDamaged)
	}
	start := len(dst)
	dst = slices.Grow(dst, int(f.Stored))[:start+int(f.Stored)]
	if n, err := a.r.ReadAt(dst[start:], offset); n < int(f.Stored) {
		if errors.Is(err, io.EOF) {
			err = ErrDamaged
		}
		return dst[:start], fmt.Errorf("read %d bytes of the archive at %d: %w", f.Stored, offset, err)
	}
	if crc32.Checksum(dst[start:], castagnoli) != f.CRC {
		return dst, fmt.Errorf("%w: the %d bytes at %d aren't those that were written", ErrDamaged, f.Stored, offset)
	}
	return dst, nil
}

// readCompressed reads a record whose body is the size of a text, four bytes, and the text, compressed.
func (a *Archive) readCompressed(dst []byte, kind byte, p place) ([]byte, error) {
	if p.Offset < 0 || p.Length < 0 || p.Length > maxCompressed || p.Offset > a.size || p.Length > a.size-p.Offset {
		return dst, fmt.Errorf("%w: it is beyond the end", ErrDamaged)
	}
	frame, err := readRange(a.r, p.Offset, p.Length)
	if err != nil {
		return dst, err
	}
	body, _, err := parseRecord(frame, kind)
	if err != nil || len(body) < 4 {
		return dst, fmt.Errorf("%w: its record can't be read", ErrDamaged)
	}
	size := binary.LittleEndian.Uint32(body)
	if size > maxCompressed {
		return dst, fmt.Errorf("%w: a record of %d bytes is too big", ErrDamaged, size)
	}
	dst, err = a.decoder.expand(dst, body[4:], int64(size))
	if err != nil {
		return dst, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return dst, nil
}

// appendCompressed appends a record as readCompressed reads it.
func appendCompressed(dst []byte, encoder *zstd.Encoder, kind byte, text []byte) ([]byte, error) {
	body := binary.LittleEndian.AppendUint32(nil, uint32(len(text)))
	return appendRecord(dst, kind, encoder.EncodeAll(text, body), nil)
}
