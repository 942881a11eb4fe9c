// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"

	"golang.org/x/sys/unix"
)

// How entries share frames. Small frames can be fetched and reused alone; big ones compress better.
const (
	// groupSize is how much of the tar stream a group holds before it is closed.
	groupSize = 512 << 10
	// smallFile is the size up to which a file's content shares a frame with other entries.
	smallFile = groupSize
	// chunkSize is how much of a bigger file's content is in one frame.
	chunkSize = 1 << 20
	// groupDirectories is how many directories the entries of a group may keep open.
	groupDirectories = 128
	// groupWarnings is how many warnings are held before they are reported.
	groupWarnings = 256
	// headerEstimate is what an entry's headers are taken to occupy: a pax header of one block, and a ustar header.
	headerEstimate = 3 * blockSize
)

// member is one item of a group.
type member struct {
	item item
	raw  []byte // the entry as far as it was made in advance; nil if it is yet to be made
}

// chunk is a part of a big file's data.
type chunk struct {
	content *content
	offset  int64
	size    int64
	last    bool
}

// grouper is the visitor that turns what the walk finds into frames to be made.
type grouper struct {
	source  int
	output  fileID // the archive itself, which is left out
	acquire func() (*frame, error)
	submit  func(*frame)

	current     *frame
	size        int64 // estimate of current's part of the tar stream
	directories int
	parent      *directory // of the newest member
	err         error      // why no frame could be had
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
	if g.current != nil {
		g.submit(g.current)
	}
	g.current, g.parent, g.size, g.directories = nil, nil, 0, 0
}

func (g *grouper) note(path string, kind WarningKind, err error) {
	f := g.frame()
	if f == nil {
		return
	}
	f.note(path, kind, err)
	g.flushWarnings()
}

// flushWarnings sends the group on its way if it holds so many warnings that they are to be reported.
func (g *grouper) flushWarnings() {
	if g.current != nil && len(g.current.warnings) >= groupWarnings {
		g.flush()
	}
}

func (g *grouper) excluded() {
	if f := g.frame(); f != nil {
		f.tally.excluded++
	}
}

// file implements visitor.
func (g *grouper) file(it item) (archived bool, err error) {
	if g.frame() == nil {
		it.release()
		return false, g.err
	}
	// What can't be read is noted without a member that would close the group some day.
	defer g.flushWarnings()
	regular := it.stat.kind() == unix.S_IFREG && it.link == ""
	switch {
	case regular && it.stat.id == g.output:
		g.note(it.path, Itself, errItself)
		it.release()
		return false, g.err
	case regular && it.stat.size > smallFile, it.link == "" && it.stat.nlink > 1 && it.self == nil:
		archived = g.now(&it)
		it.release()
		return archived, g.err
	}
	size := int64(headerEstimate)
	if regular {
		size += it.stat.size + padding(it.stat.size)
	}
	g.add(member{item: it}, size)
	return true, g.err
}

// add puts a member into the group, and closes the group when it is full.
func (g *grouper) add(m member, size int64) {
	g.current.members = append(g.current.members, m)
	g.size += size
	if m.item.self != nil || m.item.parent != g.parent {
		g.directories++
		g.parent = m.item.parent
	}
	if g.size >= groupSize || g.directories >= groupDirectories {
		g.flush()
	}
}

// now archives an item while the walk waits: a big file, or one with several names. Further names will be links to its
// entry, so it must be known whether there is one, and whether the file in it is the one that the walk saw.
func (g *grouper) now(it *item) bool {
	saw := it.stat.id
	err := it.tryTwice(func() error {
		if it.stat.kind() == unix.S_IFREG && it.stat.size > smallFile {
			return g.big(it)
		}
		return g.whole(it)
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
func (g *grouper) whole(it *item) error {
	raw, err := g.current.tryEntry(nil, it)
	if err == nil && it.stat.kind() != unix.S_IFREG {
		// It was read by its name, under which there may be another one by now, or nothing.
		now, _ := lstatAt(it.parent.fd, it.name)
		it.stat.id = now.id
	}
	if err == nil {
		g.add(member{raw: raw}, int64(len(raw)))
	}
	return err
}

// big archives a file in chunks of its own: its headers close the group before them.
func (g *grouper) big(it *item) error {
	c, err := g.current.open(it)
	if err != nil {
		return err
	}
	defer c.release()
	it.stat.id = c.stat.id
	g.current.tally.files++
	g.current.tally.entries++
	g.add(member{raw: c.appendHeader(nil)}, groupSize)

	size := c.dataSize()
	for offset := int64(0); offset == 0 || offset < size; offset += chunkSize {
		f := g.frame()
		if f == nil {
			return g.err
		}
		f.chunk = chunk{content: c.use(), offset: offset, size: min(chunkSize, size-offset), last: offset+chunkSize >= size}
		g.flush()
	}
	return nil
}
