// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"hash/crc32"

	"appliance.io/backup-operator/internal/archive/index"
)

// worker makes frames, or takes them over. It is not for concurrent use.
type worker struct {
	compressor *compressor
	old        *previous // nil if there is none
	copies     bool      // frames are taken over by reading and writing them
	runs       int       // within which every frame that is taken over is read and checked

	stored, content []byte
}

// build makes what goes into the archive for a frame. An error means that the archive must be made again.
func (w *worker) build(f *frame) error {
	if f.trusted && w.takeOver(f) {
		return nil
	}
	if err := f.assemble(); err != nil {
		if f.damaged {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return err
	}
	if len(f.in) == 0 {
		return nil
	}
	if !f.trusted && f.old.Stored > 0 && w.compare(f) {
		return nil
	}
	f.out = appendPad(w.compressor.appendFrame(f.out[:0], f.in), 0)
	f.info = newInfo(f, w.runs)
	return nil
}

// newInfo is what the index says of a frame whose stored bytes have just been made. Its age is where in the round of
// checks it begins, so that those of an archive don't all come in one run.
func newInfo(f *frame, runs int) index.Frame {
	crc := crc32.Checksum(f.out, castagnoli)
	return index.Frame{
		Stored: int64(len(f.out)), Content: int64(len(f.in)), CRC: crc, Age: firstAge(crc, runs), Entries: len(f.entries),
	}
}

// firstAge is the age of a frame whose stored bytes are new on their medium.
func firstAge(crc uint32, runs int) uint8 { return uint8(crc % uint32(runs)) }

// isDue tells whether a frame of the previous archive, of the given age, is to be read and checked in this run.
func isDue(age uint8, runs int) bool { return int(age)+1 >= runs }

// needsWorker tells whether there is anything to be done for a frame before it is written.
func (w *worker) needsWorker(f *frame) bool {
	return !f.trusted || w.copies || isDue(f.old.Age, w.runs)
}

// takeOver takes a frame over, after a check if that is due. It is false if the stored bytes are damaged.
func (w *worker) takeOver(f *frame) bool {
	if !w.needsWorker(f) {
		f.take(f.old.Age + 1)
		return true
	}
	if !w.read(f) {
		return false
	}
	w.keep(f)
	return true
}

// compare takes a frame over that holds the same as has just been read from the source. It is false if it doesn't.
func (w *worker) compare(f *frame) bool {
	if f.old.Content != int64(len(f.in)) || !w.read(f) || !mayHold(w.stored, f.in) {
		return false
	}
	var err error
	w.content, err = w.old.archive.decoder.Content(w.content[:0], w.stored, f.old.Frame)
	if err != nil {
		f.noteTrouble(w.old, err)
		return false
	}
	if !f.sameContent(w.content) {
		return false
	}
	w.keep(f)
	return true
}

// read reads and checks the stored bytes.
func (w *worker) read(f *frame) bool {
	var err error
	w.stored, err = w.old.archive.ReadStored(reuse(w.stored), f.old.offset, f.old.Frame)
	if err != nil {
		f.noteTrouble(w.old, err)
		return false
	}
	f.checked = true
	return true
}

// keep takes the stored bytes over that have been read.
func (w *worker) keep(f *frame) {
	if !w.copies {
		f.take(0)
		return
	}
	f.out = append(f.out[:0], w.stored...)
	f.take(firstAge(f.old.CRC, w.runs))
}

// take makes the frame one whose stored bytes are the previous archive's.
func (f *frame) take(age uint8) {
	f.taken, f.info = true, f.old.Frame
	f.info.Age, f.info.Entries = age, len(f.entries)
}

// noteTrouble notes that the previous archive can't give what it should hold.
func (f *frame) noteTrouble(p *previous, err error) {
	kind, err := p.trouble(err)
	f.damaged = kind == Damaged
	f.note(f.firstPath(), kind, err)
}

// firstPath is a path by which people know what a frame holds.
func (f *frame) firstPath() string {
	switch {
	case f.chunk.content != nil:
		return f.chunk.content.path
	case f.chunk.entry != nil:
		return f.chunk.entry.Path
	case len(f.members) > 0 && f.members[0].raw == nil:
		return f.members[0].item.path
	case len(f.members) > 0:
		return f.members[0].entry.Path
	}
	return ""
}
