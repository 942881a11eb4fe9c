// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"errors"
	"strings"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
)

// planner goes through the index and sends the frames on their way that hold what is wanted.
type planner struct {
	r     *restorer
	sel   *selection
	block index.Block
	// last is the path of the entry before, in the same source; empty if that isn't known.
	last string
	// rest is how many bytes of the stream the last entry has in frames to come. It isn't known after a block that was
	// passed over: unsure.
	rest   int64
	unsure bool
	// big is the last entry, if it has a rest and is wanted, and offset is how much of its data is done.
	big    *bigFile
	offset int64
	// stack are the directories in which the last entry is, from the source's root on.
	stack []*directory
	// copies are the names under which files are restored whose first names aren't wanted, by these.
	copies map[string]string
}

// endOfStream is the size of the two blocks of zeros that end a tar stream.
const endOfStream = 2 * tarstream.BlockSize

// plan goes through the index.
func (p *planner) plan() error {
	refs := p.r.lookup.refs
	p.copies = map[string]string{}
	for i := range refs {
		ref := &refs[i]
		if i > 0 && refs[i-1].Source != ref.Source {
			if err := p.endBig(); err != nil {
				return err
			}
			p.leave()
			p.last, p.rest, p.unsure = "", 0, false
		}
		if !p.mayHold(i) {
			p.unsure = true
			continue
		}
		damage, err := readBlock(p.r.ctx, p.r.archive, i, &p.block)
		if err != nil {
			return err
		}
		p.noteScanned(i, damage)
		if err := p.planBlock(i); err != nil {
			return err
		}
	}
	return p.planEnd()
}

// mayHold tells whether a block is to be looked at.
func (p *planner) mayHold(i int) bool {
	ref := &p.r.lookup.refs[i]
	switch {
	case p.r.roots[ref.Source] == nil:
		return false
	case p.big != nil:
		return true
	}
	return ref.Entries > 0 && p.sel.mayHold(ref.First, p.r.lookup.next(i))
}

// endBig is called where nothing more comes of the last entry.
func (p *planner) endBig() error {
	if p.rest == 0 || p.unsure {
		return nil
	}
	return p.loseBig(malformed(p.last, "ends too early"))
}

// loseBig gives up the rest of the last entry, and whatever it is followed by up to a frame in which entries begin.
func (p *planner) loseBig(why error) error {
	p.unsure = true
	if p.big == nil {
		return nil
	}
	defer p.dropBig()
	return p.submitPiece(piece{big: p.big.use(), last: true, lost: why}, 0, index.Frame{})
}

func (p *planner) planBlock(i int) error {
	offset, first := p.r.lookup.refs[i].Data, 0
	for _, f := range p.block.Frames {
		if err := context.Cause(p.r.ctx); err != nil {
			return err
		}
		var err error
		if archive.IsLost(f) {
			err = p.planGap(offset, f)
		} else if f.Entries > 0 {
			err = p.planFrame(offset, f, p.block.Entries[first:first+f.Entries])
		} else {
			err = p.planRest(offset, f)
		}
		if err != nil {
			return err
		}
		offset, first = offset+f.Stored, first+f.Entries
	}
	return nil
}

// planFrame plans a frame in which entries begin.
func (p *planner) planFrame(offset int64, f index.Frame, entries []index.Entry) error {
	if err := p.endBig(); err != nil {
		return err
	}
	p.unsure = false
	p.dropBig()
	var members []member
	at := int64(0)
	for i := range entries {
		e := &entries[i]
		end, ok := tarstream.EndOf(e, at, f.Content, i == len(entries)-1)
		if !ok {
			p.loseEntries(entries[i:], "is not in its frame")
			p.rest, p.unsure = 0, true
			return p.submit(offset, f, members)
		}
		if err := p.planEntry(e, &members, at, end-f.Content); err != nil {
			return releaseAll(members, err)
		}
		at = end
	}
	if at < f.Content {
		p.r.ledger.note(p.last, Partial, malformed(p.last, "is followed by something that isn't in the index"))
	}
	p.rest = max(0, at-f.Content)
	if n := len(members); n > 0 && members[n-1].big != nil {
		p.big = members[n-1].big.use()
		p.offset = p.big.member.entry.Data + tarstream.Padding(p.big.member.entry.Data) - p.rest
	}
	return p.submit(offset, f, members)
}

// planEntry plans an entry. One that no archive of this program has is lost, and nothing else with it.
func (p *planner) planEntry(e *index.Entry, members *[]member, at, beyond int64) error {
	err := checkEntry(e, p.last)
	if err == nil {
		p.last = e.Path
	}
	if !p.sel.wants(e.Path, e.Type == index.Directory) {
		return nil
	}
	if err == nil {
		err = p.want(e, members, at, beyond)
	}
	if errors.Is(err, ErrMalformed) {
		p.r.ledger.note(e.Path, Lost, err)
		return nil
	}
	return err
}

// loseEntries notes that entries can't be restored.
func (p *planner) loseEntries(entries []index.Entry, why string) {
	for i := range entries {
		e := &entries[i]
		if p.sel.wants(e.Path, e.Type == index.Directory) {
			p.r.ledger.note(e.Path, Lost, malformed(e.Path, "%s", why))
		}
	}
}

// releaseAll gives up members that are never submitted.
func releaseAll(members []member, err error) error {
	for i := range members {
		members[i].release()
	}
	return err
}

// submit sends a frame on its way, if something is wanted of it.
func (p *planner) submit(offset int64, f index.Frame, members []member) error {
	if len(members) == 0 {
		return nil
	}
	j, err := p.r.acquire()
	if err != nil {
		return releaseAll(members, err)
	}
	j.offset, j.frame = offset, f
	j.members = append(j.members[:0], members...)
	p.r.submit(j)
	return nil
}

// planRest plans a frame that goes on with the data of the last entry.
func (p *planner) planRest(offset int64, f index.Frame) error {
	switch {
	case p.unsure:
		return nil
	case p.rest == 0 && f.Content == endOfStream:
		return nil
	case f.Content > p.rest:
		err := malformed(p.last, "is followed by something that isn't in the index")
		p.r.ledger.note(p.last, Partial, err)
		return p.loseBig(err)
	}
	p.rest -= f.Content
	if p.big == nil {
		return nil
	}
	next := p.offset + f.Content
	data := p.big.member.entry.Data
	err := p.submitPiece(piece{
		big: p.big.use(), offset: p.offset, length: max(0, min(f.Content, data-p.offset)), last: p.rest == 0,
	}, offset, f)
	if p.offset = next; p.rest == 0 {
		p.dropBig()
	}
	return err
}

func (p *planner) submitPiece(what piece, offset int64, f index.Frame) error {
	j, err := p.r.acquire()
	if err != nil {
		what.big.release()
		return err
	}
	j.offset, j.frame, j.piece = offset, f, what
	p.r.submit(j)
	return nil
}

func (p *planner) dropBig() {
	p.big.release()
	p.big = nil
}

// leave gives up all that is held.
func (p *planner) leave() {
	p.dropBig()
	p.pop(0)
}

// pop leaves directories until so many are left.
func (p *planner) pop(n int) {
	for len(p.stack) > n {
		last := len(p.stack) - 1
		p.stack[last].release()
		p.stack = p.stack[:last]
	}
}

// want adds an entry to the members of its frame. beyond is how many bytes of it are in frames to come.
func (p *planner) want(e *index.Entry, members *[]member, at, beyond int64) error {
	parent, err := p.parent(e.Path)
	if err != nil {
		return err
	}
	m := member{entry: *e, at: at, name: baseName(e.Path), path: e.Path}
	if e.Type != index.Directory && p.refused(e.Path, parent.admit(m.name)) {
		return nil
	}
	switch {
	case e.Type == index.Directory:
		self, err := p.enter(parent, e)
		if err != nil {
			return err
		}
		if p.refused(e.Path, self.refused) {
			return nil
		}
		self.wanted = true
		m.self = self.use()
	case e.Type == index.HardLink && !p.sel.wants(e.Link, false):
		return p.copyFile(e, parent, members)
	default:
		m.parent = parent.use()
		if beyond > 0 {
			m.big = p.r.newBig(&m)
		}
	}
	*members = append(*members, m)
	return nil
}

// enter makes a directory and puts it on the stack.
func (p *planner) enter(parent *directory, e *index.Entry) (self *directory, err error) {
	if parent == nil {
		self, err = p.r.openTop(e.Path)
	} else if reason := parent.admit(baseName(e.Path)); reason != nil {
		self = p.r.refuse(parent, e.Path, reason)
	} else {
		self, err = p.r.enter(parent, e)
	}
	if err != nil {
		return nil, err
	}
	if self.refused == nil {
		entry := *e
		self.entry = &entry
	}
	p.stack = append(p.stack, self)
	return self, nil
}

// parent is the directory that a path is in, nil for a source's root. Directories that aren't wanted themselves are made
// if need be, and get their metadata if they are.
func (p *planner) parent(path string) (*directory, error) {
	want := parentPath(path)
	for n := len(p.stack); n > 0; n-- {
		if here := p.stack[n-1].path; want == here || strings.HasPrefix(want, here+"/") {
			break
		}
		p.pop(n - 1)
	}
	if want == "" {
		return nil, nil
	}
	if n := len(p.stack); n > 0 && p.stack[n-1].path == want {
		return p.stack[n-1], nil
	}
	above, err := p.parent(want)
	if err != nil {
		return nil, err
	}
	where, err := p.r.lookup.find(want)
	switch {
	case err != nil:
		return nil, err
	case where == nil && p.r.lookup.mayMiss():
		return p.enterUnknown(above, want)
	case where == nil || where.entry.Type != index.Directory:
		return nil, malformed(path, "is in something that is not a directory")
	}
	self, err := p.enter(above, &where.entry)
	if err != nil || !self.made {
		return self, err
	}
	m := member{entry: where.entry, at: where.at, self: self.use(), path: want}
	return self, p.submit(where.start, p.frameOf(where), []member{m})
}

// enterUnknown makes a directory of which the entry is lost, and what is in it isn't. That much is lost has been told.
func (p *planner) enterUnknown(above *directory, path string) (*directory, error) {
	self, err := p.enter(above, &index.Entry{Path: path})
	if err == nil {
		self.entry = nil
	}
	return self, err
}

// frameOf is the frame in which an entry begins that was found just now.
func (p *planner) frameOf(where *located) index.Frame { return p.r.lookup.block.Frames[where.frame] }

func (m *member) release() {
	m.big.release()
	m.self.release()
	m.parent.release()
}
