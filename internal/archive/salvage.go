// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
)

// Salvage opens an archive that Open can't open because it is truncated or damaged. If only the header is, the index
// serves as always; else all frames are read to find out what is in them. Archive.Damage says what is wrong.
//
// The error is ErrNotArchive if nothing in the file is an archive's, ErrTruncated if nothing in it can be restored,
// ErrFutureFormat, ErrNoIndex, what r returned, or the cause of ctx being done.
func Salvage(ctx context.Context, r io.ReaderAt, size int64) (*Archive, error) {
	a := &Archive{r: r, size: size, decoder: NewDecoder(0)}
	headErr := readHeader(r, size, &a.info.Header)
	if errors.Is(headErr, ErrFutureFormat) {
		return nil, headErr
	}
	err := a.openEnding()
	if err == nil {
		a.damage = fmt.Errorf("%w: its header can't be read", ErrDamaged)
		return a, nil
	}
	if !errors.Is(err, ErrTruncated) && !isDamage(err) || headErr == nil && a.info.Header.Format < Format {
		return nil, err
	}
	a.damage = fmt.Errorf("%w: what is in it is found by reading its frames: %w", ErrDamaged, err)
	ours := !errors.Is(headErr, ErrNotArchive) || a.summary != place{}
	if err := a.scan(ctx, &ours); err != nil {
		return nil, err
	}
	switch {
	case !ours:
		return nil, ErrNotArchive
	case len(a.blocks) == 0:
		return nil, fmt.Errorf("%w: no part of its content can be read", ErrTruncated)
	}
	return a, nil
}

// Damage says why the archive had to be opened by Salvage; nil if it hadn't. It is ErrDamaged.
func (a *Archive) Damage() error { return a.damage }

// Ends reports whether the archive's content is known to end where its blocks end.
func (a *Archive) Ends() bool { return a.starts == nil || a.ended }

// IsLost reports whether a frame that Archive.ScanBlock found is a piece of the file that can't be read.
func IsLost(f index.Frame) bool { return f.Content == 0 }

// Limits of a block that is made of what was found.
const (
	salvagedEntries = 1024
	salvagedFrames  = 512
)

// salvagedStart is what is known before a block's first frame.
type salvagedStart struct {
	last string
	rest int64
}

// scan makes blocks of what is in the frames. What a block holds isn't kept: ReadBlock reads its frames once more.
// ours is set when a record of an archive is found.
func (a *Archive) scan(ctx context.Context, ours *bool) error {
	s := a.newScanner(ctx)
	var ref *index.BlockRef
	next, stream := int64(len(preamble)), int64(0)
	for {
		start := salvagedStart{s.last, s.rest}
		f, found, err := s.next(next, a.size)
		if err != nil {
			return err
		}
		if !found {
			break
		}
		next = f.offset + f.Stored
		if f.isLost() && (s.ended || next <= index.Alignment) {
			continue // What is damaged is a part of the index, or the header.
		}
		if ref == nil || !takes(ref, &f, s.source) {
			a.blocks = append(a.blocks, index.BlockRef{Data: f.offset, Stream: stream, Source: s.source})
			a.starts = append(a.starts, start)
			ref = &a.blocks[len(a.blocks)-1]
		}
		if ref.Entries == 0 && len(f.entries) > 0 {
			ref.First = f.entries[0].Path
		}
		ref.Source = s.source
		ref.Frames++
		ref.Entries += len(f.entries)
		ref.Stored += f.Stored
		ref.Content += f.Content
		stream += f.Content
	}
	*ours = *ours || s.record
	a.ended = s.ended
	a.nameFirst()
	return nil
}

// takes reports whether a frame of a source can go into a block that was begun.
func takes(ref *index.BlockRef, f *scanned, source string) bool {
	return (ref.Source == source || ref.Source == "") && ref.Data+ref.Stored == f.offset &&
		ref.Frames < salvagedFrames && ref.Entries+len(f.entries) <= salvagedEntries
}

// nameFirst gives the blocks before the first entry that was found to its source.
func (a *Archive) nameFirst() {
	known := slices.IndexFunc(a.blocks, func(b index.BlockRef) bool { return b.Source != "" })
	if known < 0 {
		a.blocks, a.starts = nil, nil
		return
	}
	for i := range known {
		a.blocks[i].Source = a.blocks[known].Source
	}
}

func (a *Archive) newScanner(ctx context.Context) *scanner {
	return &scanner{ctx: ctx, r: a.r, size: a.size, decoder: a.decoder, seen: map[string]bool{}}
}

// ScanBlock tells from the frames of the i-th block what is in it, where its part of the index is damaged. It uses b's
// memory again. Entries that are found so have no hash (see index.Entry.Unhashed), and of pieces that can't be read
// IsLost is true. The error is what the reader returned, or the cause of ctx being done.
func (a *Archive) ScanBlock(ctx context.Context, i int, b *index.Block) error {
	b.Reset()
	ref, s := &a.blocks[i], a.newScanner(ctx)
	s.source = ref.Source
	for k := range a.blocks {
		if k == 0 || a.blocks[k].Source != a.blocks[k-1].Source {
			s.seen[a.blocks[k].Source] = true
		}
	}
	if a.starts != nil {
		s.last, s.rest = a.starts[i].last, a.starts[i].rest
		s.seen[ref.Source] = index.SourceOf(s.last) == ref.Source
	} else {
		s.rest, s.last = a.restBefore(i)
		s.seen[ref.Source] = s.last != ""
	}
	paths := 0
	for next, end := ref.Data, ref.Data+ref.Stored; next < end; {
		f, found, err := s.next(next, end)
		if err != nil {
			return err
		}
		if !found {
			break
		}
		for k := range f.entries {
			paths += len(f.entries[k].Path)
		}
		many := paths > index.MaxPaths || len(b.Entries)+len(f.entries) > 2*index.MaxEntries
		if f.offset > next || f.offset+f.Stored > end || many {
			// Frames of a block follow each other, and there aren't any number of entries in them.
			f = scanned{offset: next, Frame: index.Frame{Stored: end - next}}
		}
		b.Frames = append(b.Frames, f.Frame)
		b.Entries = append(b.Entries, f.entries...)
		next += f.Stored
	}
	return nil
}

// restBefore is how many bytes of the entry before a block are in it, and the path of that entry.
func (a *Archive) restBefore(i int) (rest int64, last string) {
	var b index.Block
	after := int64(0)
	for k := i - 1; k >= 0 && a.blocks[k].Source == a.blocks[i].Source; k-- {
		if a.ReadBlock(k, &b) != nil {
			return unknown, a.blocks[i].Source
		}
		if len(b.Entries) == 0 {
			after += a.blocks[k].Content
			continue
		}
		// What the entries come to, less what is there from the frame on in which the last one begins.
		first := len(b.Entries)
		for f := len(b.Frames) - 1; first == len(b.Entries); f-- {
			after += b.Frames[f].Content
			first -= b.Frames[f].Entries
		}
		for _, e := range b.Entries[first:] {
			rest += tarstream.Span(&e)
		}
		if rest -= after; rest < 0 {
			rest = unknown
		}
		return rest, b.Entries[len(b.Entries)-1].Path
	}
	return 0, ""
}
