// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"errors"
	"fmt"
	"io"

	"appliance.io/backup-operator/internal/archive/index"
)

// openDamaged opens an archive to be verified that Open can't open, and tells why. It is nil if there is nothing to verify.
func (v *verifier) openDamaged(ctx context.Context, r io.ReaderAt, size int64, why error) (*Archive, error) {
	if errors.Is(why, ErrNoIndex) {
		return nil, why
	}
	a, err := Salvage(ctx, r, size)
	switch {
	case err == nil:
		v.problem(Problem{Length: size, Err: a.Damage().Error()})
		return a, nil
	case context.Cause(ctx) != nil:
		return nil, context.Cause(ctx)
	case !errors.Is(why, ErrTruncated) && !isDamage(why):
		return nil, why
	}
	v.problem(Problem{Length: size, Err: why.Error()})
	return nil, nil
}

// salvaged verifies an archive of which nothing but the frames is known: whether they can be read.
func (v *verifier) salvaged(ctx context.Context) error {
	var block index.Block
	for i := range v.archive.blocks {
		if err := v.scanned(ctx, i, &block); err != nil {
			return err
		}
	}
	if !v.archive.Ends() {
		v.problem(Problem{Offset: v.archive.size, Err: "the end of the tar stream is missing, and what came before it"})
	}
	return nil
}

// scanned verifies the frames of a block without its part of the index.
func (v *verifier) scanned(ctx context.Context, i int, b *index.Block) error {
	if err := v.archive.ScanBlock(ctx, i, b); err != nil {
		return err
	}
	offset, first, last := v.archive.blocks[i].Data, 0, v.archive.blocks[i].Source
	for _, f := range b.Frames {
		if IsLost(f) {
			what := fmt.Sprintf("can't be read; what comes after %q is affected", last)
			v.problem(Problem{Offset: offset, Length: f.Stored, Err: what})
		} else {
			v.result.Frames++
		}
		for _, e := range b.Entries[first : first+f.Entries] {
			last = e.Path
			v.result.Entries++
			if e.Type == index.Regular {
				v.result.Files++
			}
		}
		first += f.Entries
		if offset += f.Stored; v.options.Progress != nil {
			v.options.Progress(offset)
		}
	}
	return nil
}
