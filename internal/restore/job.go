// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"errors"
	"fmt"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
	"golang.org/x/sys/unix"
)

// job is one frame on its way, with what is wanted of it. Jobs are used again and again; their number bounds memory.
type job struct {
	offset  int64 // of the frame in the file
	frame   index.Frame
	members []member
	piece   piece
	stored  []byte
	content []byte
	huge    bool // it is of unusual size
	done    chan struct{}
}

// member is an entry that begins in the frame and is wanted.
type member struct {
	entry  index.Entry
	at     int64      // where it begins in the frame's content
	parent *directory // of which it has a use; nil for a source's root
	self   *directory // the directory that it is, of which it has a use
	name   string     // under which it is made in parent
	path   string     // in the archive; another one than the entry's where a link's content is made anew
	big    *bigFile   // if its data doesn't end in the frame
	moved  bool       // the entry is a link that leads elsewhere than the stream says
	lost   bool       // it can't be restored, and that has been told
}

// piece is a part of a file's data that is in this frame, where the file's entry isn't.
type piece struct {
	big    *bigFile
	offset int64 // in the data
	length int64
	last   bool
	lost   error // why no frame goes with it
}

func newJob() *job { return &job{done: make(chan struct{}, 1)} }

// settle lets those go on that wait for a file that begins in the frame.
func (j *job) settle() {
	for i := range j.members {
		if b := j.members[i].big; b != nil {
			b.settle()
		}
	}
}

// maxKept is the size of the buffers that a job keeps for its next use.
const maxKept = 4 << 20

// release gives up what the job holds.
func (j *job) release() {
	for i := range j.members {
		j.members[i].release()
	}
	j.piece.big.release()
	clear(j.members)
	j.members, j.piece = j.members[:0], piece{}
	j.stored, j.content = reuse(j.stored), reuse(j.content)
}

func reuse(buf []byte) []byte {
	if cap(buf) > maxKept {
		return nil
	}
	return buf[:0]
}

// do is the part of the work on a job that is done in parallel.
func (r *restorer) do(j *job) error {
	if b := j.piece.big; b != nil {
		return r.doPiece(j, b)
	}
	content, err := r.read(j)
	if err != nil {
		return r.lose(j, err)
	}
	for i := range j.members {
		if err := context.Cause(r.ctx); err != nil {
			return err
		}
		if err := r.doMember(&j.members[i], content); err != nil {
			return err
		}
	}
	return nil
}

// read reads and decompresses the job's frame.
func (r *restorer) read(j *job) ([]byte, error) {
	var damage, err error
	j.stored, damage = r.archive.ReadStored(j.stored[:0], j.offset, j.frame)
	if damage != nil && len(j.stored) == 0 {
		return nil, damage
	}
	if j.content, err = r.decoder.Content(j.content[:0], j.stored, j.frame); err != nil {
		// It may be the padding alone. Frames have a checksum of their own, and files have hashes.
		j.content, err = r.decoder.Salvage(j.content[:0], j.stored, j.frame)
	}
	if err != nil && damage != nil {
		err = damage
	}
	return j.content, err
}

// isDamage tells whether an error means that some bytes of the archive are lost, and others needn't be.
func isDamage(err error) bool {
	return errors.Is(err, archive.ErrDamaged) || errors.Is(err, unix.EIO)
}

// lose notes what is lost with a frame. Of directories that is their attributes only, and of hard links nothing: the
// index has the rest.
func (r *restorer) lose(j *job, err error) error {
	if !isDamage(err) {
		return fmt.Errorf("read the archive: %w", err)
	}
	for i := range j.members {
		if m := &j.members[i]; m.self != nil || m.entry.Type != index.HardLink {
			r.loseMember(m, err)
		}
	}
	return nil
}

// loseMember notes that an entry is lost. A directory is there all the same, without its attributes.
func (r *restorer) loseMember(m *member, err error) {
	kind := Lost
	if m.self != nil {
		kind = Partial
	}
	m.lost = true
	r.ledger.note(m.path, kind, err)
}

// doMember restores one entry, or begins to.
func (r *restorer) doMember(m *member, content []byte) error {
	if m.moved {
		return nil
	}
	headers, rest := content[m.at:m.at+m.entry.Headers], content[m.at+m.entry.Headers:]
	header, err := tarstream.Parse(headers)
	if err == nil {
		err = header.Agree(&m.entry)
	}
	if err != nil {
		r.loseMember(m, malformed(m.path, "is not what the index says: %w", err))
		return nil
	}
	switch {
	case m.big != nil:
		err = r.begin(m, header, rest[:min(int64(len(rest)), m.entry.Data)])
	case m.self != nil:
		m.self.header = header
	case m.entry.Type == index.Regular:
		err = r.file(m, header, rest[:m.entry.Data])
	case m.entry.Type == index.HardLink:
		// It is made in order, when its first name is there.
	default:
		err = r.special(m, header)
	}
	return r.oneFile(m.path, err)
}

// oneFile notes an error that is about one file alone, and passes on others.
func (r *restorer) oneFile(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errDiffers):
		r.ledger.note(path, Differs, err)
		return nil
	case errors.Is(err, errContent), errors.Is(err, ErrMalformed):
		r.ledger.note(path, Lost, err)
		return nil
	case concernsOneFile(err):
		r.ledger.note(path, Failed, err)
		return nil
	}
	return fmt.Errorf("restore %q: %w", path, err)
}

// finish is the part of the work on a job that is done in order.
func (r *restorer) finish(j *job) error {
	for i := range j.members {
		m := &j.members[i]
		if m.entry.Type == index.HardLink && !m.lost {
			if err := r.oneFile(m.path, r.link(m)); err != nil {
				return err
			}
		}
	}
	if b := j.piece.big; b != nil {
		return r.finishPiece(j, b)
	}
	return nil
}
