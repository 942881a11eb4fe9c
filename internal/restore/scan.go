// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"fmt"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/archive/index"
)

// Where the index is damaged, the frames still tell what is in them: see archive.Salvage and archive.Archive.ScanBlock.

// readBlock reads a block of the index, or finds what is in it by reading its frames if it is damaged. Then damage says
// why.
func readBlock(ctx context.Context, a *archive.Archive, i int, b *index.Block) (damage, err error) {
	damage = a.ReadBlock(i, b)
	switch {
	case damage == nil:
		return nil, nil
	case !isDamage(damage):
		return nil, fmt.Errorf("read the index: %w", damage)
	}
	if err := a.ScanBlock(ctx, i, b); err != nil {
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	return damage, nil
}

// noteScanned notes what is lost of a block of the index that is damaged, of which the frames were read instead.
func (p *planner) noteScanned(i int, cause error) {
	ref := &p.r.lookup.refs[i]
	if cause == nil || p.r.anew {
		return
	}
	p.r.ledger.note(ref.First, Damaged, fmt.Errorf("the entries from here on were found by reading their frames: %w", cause))
	if lost := ref.Entries - len(p.block.Entries); lost > 0 {
		for range lost - 1 {
			p.r.ledger.lose()
		}
		to := "the end of the source"
		if next := p.r.lookup.next(i); next != "" {
			to = fmt.Sprintf("%q", next)
		}
		p.r.ledger.gap(ref.First, fmt.Errorf("%d of the entries from here to before %s: %w", lost, to, cause))
	}
}

// planGap plans a piece of the file that can't be read. What was in it isn't known, but for the rest of a big file.
func (p *planner) planGap(offset int64, f index.Frame) error {
	err := fmt.Errorf("%w: the %d bytes at %d can't be read", archive.ErrDamaged, f.Stored, offset)
	if p.big != nil && p.rest > 0 && !p.unsure {
		return p.loseBig(fmt.Errorf("%w: %w", errContent, err))
	}
	if p.r.archive.Damage() != nil && !p.r.anew {
		p.r.ledger.gap(p.last, fmt.Errorf("entries after this one may be lost: %w", err))
	}
	p.unsure = true
	return nil
}

// planEnd notes what is missing behind the last block.
func (p *planner) planEnd() error {
	if err := p.r.archive.Damage(); err != nil && !p.r.anew {
		p.r.ledger.note("", Damaged, err)
	}
	if !p.r.archive.Ends() && !p.r.anew {
		p.r.ledger.gap(p.last, fmt.Errorf("%w: all entries after this one", archive.ErrTruncated))
	}
	return p.endBig()
}

// gap notes that entries after one are lost, of which it isn't known which they are.
func (l *ledger) gap(after string, err error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.result.Lost++
	if l.warn != nil {
		l.warn(Warning{Path: after, Kind: Lost, Err: err.Error()})
	}
}
