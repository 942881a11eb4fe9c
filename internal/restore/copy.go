// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"fmt"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
)

// copyFile restores the content of a hard link's first name under the link's own: the first name isn't wanted. Further
// links to the same file become links to this one.
func (p *planner) copyFile(e *index.Entry, parent *directory, members *[]member) error {
	m := member{parent: parent.use(), name: baseName(e.Path), path: e.Path}
	if path, ok := p.copies[e.Link]; ok {
		// It stands in the stream where it stands, and only leads elsewhere now.
		m.entry = *e
		m.entry.Link = path
		m.moved = true
		*members = append(*members, m)
		return nil
	}
	where, err := p.r.lookup.find(e.Link)
	if err == nil && (where == nil || where.entry.Type == index.HardLink || where.entry.Type == index.Directory) {
		err = malformed(e.Path, "is a link to %.300q, which is not a file", e.Link)
	}
	if err != nil {
		m.release()
		return p.r.loseCopy(e.Path, err)
	}
	p.copies[e.Link] = e.Path
	m.entry, m.at = where.entry, where.at
	f := p.frameOf(where)
	rest := where.at + tarstream.Span(&where.entry) - f.Content
	if rest <= 0 {
		return p.submit(where.start, f, []member{m})
	}
	b := p.r.newBig(&m)
	defer b.release()
	m.big = b.use()
	if err := p.submit(where.start, f, []member{m}); err != nil {
		return err
	}
	return p.copyRest(b, where, rest)
}

// copyRest sends the frames on their way in which a file goes on that begins where it was found.
func (p *planner) copyRest(b *bigFile, where *located, rest int64) error {
	var block index.Block
	if _, err := readBlock(p.r.ctx, p.r.archive, where.block, &block); err != nil {
		return err
	}
	total := b.member.entry.Data
	offset := tarstream.Span(&b.member.entry) - b.member.entry.Headers - rest
	start := where.start + block.Frames[where.frame].Stored
	for i, k := where.block, where.frame+1; rest > 0; k++ {
		for k == len(block.Frames) {
			if i, k = i+1, 0; i == len(p.r.lookup.refs) {
				return malformed(b.member.path, "ends too early")
			}
			if _, err := readBlock(p.r.ctx, p.r.archive, i, &block); err != nil {
				return err
			}
			start = p.r.lookup.refs[i].Data
		}
		f := block.Frames[k]
		if archive.IsLost(f) {
			why := fmt.Errorf("%w: %w: the %d bytes at %d can't be read", errContent, archive.ErrDamaged, f.Stored, start)
			return p.submitPiece(piece{big: b.use(), last: true, lost: why}, 0, index.Frame{})
		}
		if f.Entries > 0 || f.Content > rest {
			return malformed(b.member.path, "ends too early")
		}
		rest -= f.Content
		what := piece{big: b.use(), offset: offset, length: max(0, min(f.Content, total-offset)), last: rest == 0}
		if err := p.submitPiece(what, start, f); err != nil {
			return err
		}
		offset, start = offset+f.Content, start+f.Stored
	}
	return nil
}

// loseCopy notes a copy whose place in the index is damaged.
func (r *restorer) loseCopy(path string, err error) error {
	if !isDamage(err) {
		return err
	}
	r.ledger.note(path, Lost, err)
	return nil
}
