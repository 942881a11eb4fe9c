// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"

	"appliance.io/backup-operator/internal/archive/index"
	"golang.org/x/sys/unix"
)

// flushedWarnings is how many warnings are held before they are reported.
const flushedWarnings = 256

// grouper is the visitor that turns what the walk finds into frames to be made, or to be taken over from the previous
// archive.
type grouper struct {
	source  int
	output  fileID // the archive itself, which is left out
	acquire func() (*frame, error)
	submit  func(*frame)
	old     *cursor // what the previous archive knows of the source

	grouping grouping
	run      oldRun
	current  *frame
	// lost are the paths that were promised to hold the content of a file with several names, and the paths that do;
	// empty where none does yet.
	lost map[string]string
	err  error // why no frame could be had
}

var errItself = errors.New("the archive that is being written isn't put into itself")

// frame is the frame that entries go into at present; nil once there are no more to be had.
func (g *grouper) frame() *frame {
	if g.current == nil && g.err == nil {
		g.current, g.err = g.acquire()
		if g.err == nil {
			g.current.source = g.source
		}
	}
	return g.current
}

// flush sends the group that is being filled on its way.
func (g *grouper) flush() {
	f, run := g.current, g.run
	g.run = oldRun{}
	if f == nil {
		return
	}
	if run.isWhole() && len(f.members) > 0 {
		f.trust(run.frame)
	} else {
		f.old = run.first
		g.keepPromises()
	}
	g.current = nil
	g.submit(f)
}

// note implements visitor.
func (g *grouper) note(path string, kind WarningKind, err error) {
	f := g.frame()
	if f == nil {
		return
	}
	f.note(path, kind, err)
	g.flushWarnings()
}

// flushWarnings sends so many warnings on their way that they are to be reported. They get a frame without content: the
// group goes on.
func (g *grouper) flushWarnings() {
	f := g.current
	if f == nil || len(f.warnings) < flushedWarnings {
		return
	}
	report, err := g.acquire()
	if err != nil {
		g.err = err
		return
	}
	report.source = g.source
	report.warnings, f.warnings = f.warnings, report.warnings
	g.submit(report)
}

// excluded implements visitor.
func (g *grouper) excluded() {
	if f := g.frame(); f != nil {
		f.excluded++
	}
}

// file implements visitor.
func (g *grouper) file(it item) (archived bool, err error) {
	if g.frame() == nil {
		it.release()
		return false, g.err
	}
	if hasContent(&it) && it.stat.id == g.output {
		g.note(it.path, Itself, errItself)
		it.release()
		return false, g.err
	}
	first := it.link
	g.relink(&it)
	end := g.grouping.add(&it)
	archived = g.add(member{item: it})
	if archived && first != it.link && it.link == "" {
		g.lost[first] = it.path
	}
	if end {
		g.flush()
	}
	// What can't be read is noted without a member that would close the group some day.
	g.flushWarnings()
	return archived, g.err
}

// add finds a member's place.
func (g *grouper) add(m member) (archived bool) {
	old, ok := g.old.find(m.item.path)
	if m.same = ok && unchanged(old.Entry, &m.item) && g.old.trusts(m.item.path); m.same {
		m.entry = *old.Entry
	}
	g.run.add(old, ok, m.same)
	switch {
	case isBig(&m.item):
		return g.big(&m)
	case hasNames(&m.item) && !m.same:
		return g.now(&m)
	}
	g.current.members = append(g.current.members, m)
	return true
}

// hasNames tells whether an item is the first name of a file that has more.
func hasNames(it *item) bool {
	return it.link == "" && it.stat.nlink > 1 && it.self == nil && !isDirectory(it)
}

func isDirectory(it *item) bool { return it.stat.kind() == unix.S_IFDIR }

// now archives an item while the walk waits: a big file, or one with several names. Further names will be links to its
// entry, so it must be known whether there is one, and whether the file in it is the one that the walk saw.
func (g *grouper) now(m *member) bool {
	it := &m.item
	defer it.release()
	saw := it.stat.id
	err := it.tryTwice(func() error {
		if isBig(it) {
			return g.chunks(m)
		}
		return g.whole(m)
	})
	if err != nil {
		if f := g.frame(); f != nil {
			f.noteError(it.path, err)
		}
		return false
	}
	return it.stat.id == saw
}

// whole archives an item that shares a frame with others.
func (g *grouper) whole(m *member) error {
	made, err := g.read(&m.item)
	if err == nil {
		g.current.members = append(g.current.members, made)
	}
	return err
}

// read makes a member whose entry is made.
func (g *grouper) read(it *item) (member, error) {
	var j journal
	raw, err := j.tryEntry(nil, it)
	g.current.warnings = append(g.current.warnings, j.warnings...)
	if err != nil {
		return member{}, err
	}
	it.stat.id = it.idRead()
	return member{raw: raw, entry: j.entries[0]}, nil
}

// big archives a big file.
func (g *grouper) big(m *member) bool {
	if !m.same || !g.run.isWhole() {
		return g.now(m)
	}
	entry := m.entry
	again := m.item
	again.parent = m.item.parent.use()
	defer again.release()
	g.current.members = append(g.current.members, *m)
	g.flush()
	if entry.Data == 0 {
		return g.err == nil // A file that is nothing but a hole: its headers are all there is.
	}
	g.each(entry.Data, func(f *frame) {
		f.chunk.item, f.chunk.entry = again, &entry
		f.chunk.item.parent = again.parent.use()
		f.trusted = f.old.Stored > 0
	})
	return g.err == nil
}

// chunks archives a big file that must be opened: its headers close the group before them.
func (g *grouper) chunks(m *member) error {
	it, mark := &m.item, len(g.current.warnings)
	c, err := g.current.open(it)
	if err != nil {
		return err
	}
	defer c.release()
	it.stat.id = c.stat.id
	raw := c.appendHeader(nil)
	entry := c.entry(it, len(raw))
	entry.Flags = judge(entry.Flags, g.current.warnings[mark:])
	// The map of a sparse file is in the headers, and there may be another one now that describes the same data.
	same := m.same && len(g.current.warnings) == mark && sameStat(&m.entry, &c.stat) &&
		!m.entry.Is(index.Sparse) && c.extents == nil
	if same {
		entry.SHA256 = m.entry.SHA256
	}
	g.current.members = append(g.current.members, member{raw: raw, entry: entry})
	g.current.opens = true
	g.flush()
	g.each(c.dataSize(), func(f *frame) {
		f.chunk.content = c.use()
		f.chunk.hashed = !same
		f.trusted = same && f.old.Stored > 0
	})
	return g.err
}

// each submits the frames of a big file's data, of which there is at least one. fill says where the data comes from.
func (g *grouper) each(size int64, fill func(*frame)) {
	for offset := int64(0); offset == 0 || offset < size; offset += chunkSize {
		f := g.frame()
		if f == nil {
			return
		}
		f.chunk = chunk{offset: offset, size: min(chunkSize, size-offset), last: offset+chunkSize >= size}
		if old, ok := g.old.nextChunk(); ok && size > 0 && old.Content == f.chunk.inStream(size) {
			f.old = old
		}
		fill(f)
		g.current = nil
		g.submit(f)
	}
}
