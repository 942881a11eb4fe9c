// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"appliance.io/backup-operator/internal/archive/index"
	"golang.org/x/sys/unix"
)

// What an archive takes besides the compressed stream.
const (
	// endsCost is more than an archive's head and tail come to.
	endsCost = 4 * index.Alignment
	// groupPadding and chunkPadding are what fills a frame up: half a block on average, but for chunks that can't be
	// compressed, which all have the same size, a bit more than whole blocks.
	groupPadding = index.Alignment / 2
	chunkPadding = index.Alignment
	// entryCost is more than an entry comes to in the index, mostly.
	entryCost = 96
	// checksumCost is what a file comes to in the list of checksums, besides its path.
	checksumCost = 2*32 + 3
)

// MeasureOptions are the settings of Measure.
type MeasureOptions struct {
	// Destinations are as in Options.
	Destinations []OutputDirectory
	// Previous and Level are as in Options: what will be taken over needn't be read.
	Previous *os.File
	Level    int
	// Target is the directory in which the archive will be written. It is for finding out whether what is taken over
	// takes space there; when it is empty, or can't be written to, that is supposed.
	Target string

	now func() time.Time // for tests; nil means time.Now
}

// Measure walks the sources and estimates how much space their archive and its list of checksums will take, by compressing
// a deterministic sample of what isn't in the previous archive. Files that can't be read are passed over in silence;
// Write reports them.
func Measure(ctx context.Context, sources []Source, opts MeasureOptions) (Measurement, error) {
	level := Options{Level: opts.Level, now: opts.now}
	if err := level.complete(); err != nil {
		return Measurement{}, err
	}
	trees, err := openSources(sources, opts.Destinations, newVolumes(level.now, func(int) error { return nil }))
	if err != nil {
		return Measurement{}, err
	}
	defer closeTrees(trees)
	c, err := newCompressor(level.Level)
	if err != nil {
		return Measurement{}, err
	}
	old := openPrevious(opts.Previous, level.Level)
	defer old.close()
	m := &measurer{sampler: sampler{compressor: c, step: samplePiece}, shares: sharesSpace(opts.Target, old)}
	for _, t := range trees {
		m.old = old.cursorOf(t.name, func(error) {})
		err := t.walkAhead(ctx, m)
		m.endGroup()
		if err != nil {
			return Measurement{}, err
		}
	}
	m.EstimatedBytes = m.sampler.estimate() + m.overhead + endsCost
	return m.Measurement, nil
}

// sharesSpace tells whether what is taken over into a file in a directory takes no space there.
func sharesSpace(dir string, old *previous) bool {
	if old == nil || dir == "" {
		return false
	}
	// The file never has a name, so that nothing is left of it.
	fd, err := openRetry(unix.AT_FDCWD, dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC)
	if err != nil {
		return false
	}
	f := os.NewFile(uintptr(fd), filepath.Join(dir, "(measuring)"))
	defer f.Close()
	method, err := findMethod(f, old.file, 0)
	return err == nil && method == MethodReflink
}

// measurer is the visitor that measures.
type measurer struct {
	Measurement
	sampler  sampler
	overhead int64 // besides the stream
	shares   bool  // what is taken over takes no space
	old      *cursor

	grouping grouping
	run      oldRun
	group    []measured
}

// measured is an entry of the group.
type measured struct {
	item   item
	data   int64 // content
	stored int64 // of the frames of a big file that are taken over; 0 if they aren't
}

func (m *measurer) note(string, WarningKind, error) {}

func (m *measurer) excluded() {}

// file implements visitor.
func (m *measurer) file(it item) (bool, error) {
	old, found := m.old.find(it.path)
	same := found && unchanged(old.Entry, &it)
	m.run.add(old, found, same)
	e := measured{item: it}
	m.Entries++
	m.overhead += entryCost
	if hasContent(&it) {
		if e.data = contentSize(&it, old, same); same && isBig(&it) {
			e.stored = m.storedChunks()
		}
		m.Files++
		m.Bytes += e.data
		m.overhead += checksumCost + int64(len(it.path))
	}
	m.group = append(m.group, e)
	if m.grouping.add(&it) {
		m.endGroup()
	}
	return true, nil
}

// contentSize is the size of a file's data, or of the file if that can't be known or isn't worth finding out.
func contentSize(it *item, old oldEntry, same bool) int64 {
	if same {
		return old.Data
	}
	if !isBig(it) || !maybeSparse(&it.stat) {
		return it.stat.size
	}
	fd, err := openAt(it.parent.fd, it.name, unix.O_NOFOLLOW)
	if err != nil {
		return it.stat.size
	}
	defer unix.Close(fd)
	list, err := extents(fd, it.stat.size)
	if err != nil || list == nil {
		return it.stat.size
	}
	return dataSize(list)
}

// storedChunks is what the frames of the big file that was found last take.
func (m *measurer) storedChunks() int64 {
	stored := int64(0)
	for f, ok := m.old.nextChunk(); ok; f, ok = m.old.nextChunk() {
		stored += f.Stored
	}
	return stored
}

// endGroup counts a group, now that it is known whether it is taken over.
func (m *measurer) endGroup() {
	whole := m.run.isWhole()
	if whole {
		m.take(m.run.frame.Stored)
	} else if len(m.group) > 0 {
		m.overhead += groupPadding
	}
	for i := range m.group {
		switch e := &m.group[i]; {
		case e.stored > 0:
			m.take(e.stored)
		case !whole:
			m.make(e)
		}
		m.group[i].item.release()
	}
	clear(m.group)
	m.group, m.run, m.grouping = m.group[:0], oldRun{}, grouping{}
}

// take counts stored bytes that are taken over.
func (m *measurer) take(stored int64) {
	if !m.shares {
		m.overhead += stored
	}
}

// make counts an entry that is made from its source.
func (m *measurer) make(e *measured) {
	m.sampler.add(&e.item, e.data)
	if isBig(&e.item) {
		m.overhead += (e.data/chunkSize + 1) * chunkPadding
	}
}
