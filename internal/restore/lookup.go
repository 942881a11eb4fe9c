// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
)

// lookup finds single entries by a binary search in the directory of the index. It is not for concurrent use.
type lookup struct {
	archive *archive.Archive
	refs    []index.BlockRef
	sources []string         // in the order of the stream
	blocks  map[string][]int // by source: the blocks in which entries begin, in order
	block   index.Block      // the one that was read last
	at      int              // its number; -1 for none
	scanned error            // why what is in it was found by reading its frames; nil if it is in the index
}

// located is an entry and where it is.
type located struct {
	entry index.Entry
	block int // the number of its block
	frame int // the number of its frame in the block
	start int64
	at    int64 // in the frame's content
}

func newLookup(a *archive.Archive) (*lookup, error) {
	l := &lookup{archive: a, refs: a.Blocks(), blocks: map[string][]int{}, at: -1}
	for i := range l.refs {
		ref := &l.refs[i]
		_, seen := l.blocks[ref.Source]
		switch {
		case !tarstream.ValidPath(ref.Source) || parentPath(ref.Source) != "":
			return nil, fmt.Errorf("%w: a source is named %.300q", ErrMalformed, ref.Source)
		case !seen:
			l.sources = append(l.sources, ref.Source)
			l.blocks[ref.Source] = nil
		case l.sources[len(l.sources)-1] != ref.Source:
			return nil, fmt.Errorf("%w: source %.300q is there twice", ErrMalformed, ref.Source)
		}
		if ref.Entries == 0 {
			continue
		}
		list := l.blocks[ref.Source]
		if n := len(list); n > 0 && index.Compare(l.refs[list[n-1]].First, ref.First) >= 0 {
			return nil, fmt.Errorf("%w: blocks of the index aren't in order", ErrMalformed)
		}
		l.blocks[ref.Source] = append(list, i)
	}
	return l, nil
}

// next is the first path of the block after the i-th that has one, in the same source; empty if there is none.
func (l *lookup) next(i int) string {
	list := l.blocks[l.refs[i].Source]
	if k := sort.SearchInts(list, i+1); k < len(list) {
		return l.refs[list[k]].First
	}
	return ""
}

// find finds an entry by its path; nil if there is none. An index that is damaged there is an error.
func (l *lookup) find(path string) (*located, error) {
	list := l.blocks[index.SourceOf(path)]
	k := sort.Search(len(list), func(k int) bool { return index.Compare(l.refs[list[k]].First, path) > 0 }) - 1
	if k < 0 {
		return nil, nil
	}
	if err := l.load(list[k]); err != nil {
		return nil, fmt.Errorf("look for %.300q: %w", path, err)
	}
	n := sort.Search(len(l.block.Entries), func(n int) bool { return index.Compare(l.block.Entries[n].Path, path) >= 0 })
	if n == len(l.block.Entries) || l.block.Entries[n].Path != path {
		return nil, nil
	}
	return l.locate(n)
}

// load reads a block, unless it is the one that was read last.
func (l *lookup) load(i int) error {
	if l.at == i {
		return nil
	}
	l.at = -1
	var err error
	if l.scanned, err = readBlock(context.Background(), l.archive, i, &l.block); err == nil {
		l.at = i
	}
	return err
}

// mayMiss reports whether entries of the block that was read last may be missing.
func (l *lookup) mayMiss() bool { return l.scanned != nil || l.archive.Damage() != nil }

// locate tells where the n-th entry of the block is.
func (l *lookup) locate(n int) (*located, error) {
	where := &located{entry: l.block.Entries[n], block: l.at, start: l.refs[l.at].Data}
	first := 0
	for ; first+l.block.Frames[where.frame].Entries <= n; where.frame++ {
		first += l.block.Frames[where.frame].Entries
		where.start += l.block.Frames[where.frame].Stored
	}
	if err := checkEntry(&where.entry, ""); err != nil {
		return nil, err
	}
	content := l.block.Frames[where.frame].Content
	last := first + l.block.Frames[where.frame].Entries - 1
	for i, end := first, int64(0); i <= n; i++ {
		var ok bool
		where.at = end
		if end, ok = tarstream.EndOf(&l.block.Entries[i], where.at, content, i == last); !ok {
			return nil, malformed(where.entry.Path, "is not in its frame")
		}
	}
	return where, nil
}

// Entries calls fn for each entry of an archive that is selected by the patterns, as Options has them, in the order of
// the stream. It reads the index alone, and of that what the patterns may match. The entry is fn's until it returns. An
// error of fn ends it.
func Entries(ctx context.Context, a *archive.Archive, include, exclude []string, fn func(*index.Entry) error) error {
	l, err := newLookup(a)
	if err != nil {
		return err
	}
	sel, err := newSelection(include, exclude)
	if err != nil {
		return err
	}
	if err := sel.requireLiterals(l); err != nil {
		return err
	}
	if fn, err = markLinks(a, fn); err != nil {
		return err
	}
	if err := l.each(ctx, sel, fn); err != nil {
		return err
	}
	if rest := sel.unmatched(); len(rest) > 0 {
		return fmt.Errorf("%w %q", ErrNoMatch, rest)
	}
	return nil
}

// each calls fn for each entry that is selected. Entries are checked before. Blocks that are damaged and entries that no
// archive has are passed over, and are the error in the end.
func (l *lookup) each(ctx context.Context, sel *selection, fn func(*index.Entry) error) error {
	last := ""
	var wrong problems
	if err := l.archive.Damage(); err != nil {
		wrong.add(err)
	}
	if !l.archive.Ends() {
		wrong.add(fmt.Errorf("%w: what came last isn't there", archive.ErrTruncated))
	}
	for i := range l.refs {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		ref := &l.refs[i]
		if i > 0 && l.refs[i-1].Source != ref.Source {
			last = ""
		}
		if ref.Entries == 0 || !sel.mayHold(ref.First, l.next(i)) {
			continue
		}
		if err := l.load(i); err != nil {
			return err
		}
		if l.scanned != nil {
			wrong.add(fmt.Errorf("of %d entries from %.300q on, %d were found by reading their frames: %w", ref.Entries, ref.First,
				len(l.block.Entries), l.scanned))
		}
		for k := range l.block.Entries {
			e := &l.block.Entries[k]
			if err := checkEntry(e, last); err != nil {
				wrong.add(err)
				continue
			}
			last = e.Path
			if sel.wants(e.Path, e.Type == index.Directory) {
				if err := fn(e); err != nil {
					return err
				}
			}
		}
	}
	return wrong.err()
}

// problems are errors that don't end what they are found by. The first few are kept.
type problems struct {
	list []error
	more int
}

const maxProblems = 10

func (p *problems) add(err error) {
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	p.list = append(p.list, err)
}

// err is all of them; nil if there are none.
func (p *problems) err() error {
	if p.more > 0 {
		p.list = append(p.list, fmt.Errorf("and %d more", p.more))
	}
	return errors.Join(p.list...)
}
