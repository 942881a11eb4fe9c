// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"appliance.io/backup-operator/internal/archive/tarstream"
	"golang.org/x/sys/unix"
)

// bigFile is a regular file whose data is in several frames. Workers write its pieces in any order; the sink hashes them
// in theirs, and completes the file with the last.
type bigFile struct {
	r      *restorer
	member member // of which it has its own use of the parent
	header *tarstream.Header
	hash   hash.Hash

	// ready is closed when the frame in which the file begins is done. Then state, fd and header are settled.
	ready     chan struct{}
	once      sync.Once
	state     bigState
	fd        int
	temporary string // empty when there is no such file
	before    int    // the mode that is to be put back of a file that stands; -1 for none
	what      standing

	writing sync.Mutex

	failed atomic.Bool // nothing more is to be done for it, and that has been told
	uses   atomic.Int64
}

// bigState is what is done with a file's data.
type bigState int

const (
	bigGone      bigState = iota // nothing: the file can't be restored, or its beginning is lost
	bigWriting                   // it is written to a new file
	bigComparing                 // the file that stands is read instead: it looks the same
)

// newBig makes a bigFile of a member; the caller has one use of it.
func (r *restorer) newBig(m *member) *bigFile {
	b := &bigFile{r: r, member: *m, hash: sha256.New(), ready: make(chan struct{}), fd: -1, before: -1}
	b.member.parent.use()
	b.uses.Store(1)
	return b
}

func (b *bigFile) settle() { b.once.Do(func() { close(b.ready) }) }

func (b *bigFile) use() *bigFile {
	b.uses.Add(1)
	return b
}

// release gives up one use. The last one removes what isn't complete.
func (b *bigFile) release() {
	if b == nil || b.uses.Add(-1) > 0 {
		return
	}
	if b.fd >= 0 {
		putBack(b.fd, b.before)
		_ = unix.Close(b.fd)
	}
	if b.temporary != "" {
		_ = unix.Unlinkat(b.member.parent.fd, b.temporary, 0)
	}
	b.member.parent.release()
}

// fail gives the file up because of an error; nil if that is about this file alone.
func (b *bigFile) fail(err error) error {
	if b.failed.Swap(true) {
		return nil
	}
	if isDamage(err) {
		err = fmt.Errorf("%w: %w", errContent, err)
	}
	return b.r.oneFile(b.member.path, err)
}

// begin starts a file whose data doesn't end in the frame in which it begins. data is what is in it.
func (r *restorer) begin(m *member, header *tarstream.Header, data []byte) error {
	b := m.big
	b.header = header
	what, err := r.stands(m)
	if err != nil {
		return err
	}
	b.what = what
	if what == alike {
		data, err = b.beginComparing(data)
	} else {
		err = b.beginWriting(data)
	}
	if err != nil || b.failed.Load() {
		b.state = bigGone
		return err
	}
	b.hash.Write(data)
	return nil
}

// beginComparing opens the file that stands, and gives what it has in the place of data.
func (b *bigFile) beginComparing(data []byte) (there []byte, err error) {
	if b.fd, b.before, err = openStanding(b.member.parent.fd, b.member.name); err != nil {
		return nil, err
	}
	b.state, there = bigComparing, make([]byte, len(data))
	if readData(b.fd, b.header, there, 0) != nil || !b.r.emptyHoles(b.fd, b.header) {
		return nil, b.differs()
	}
	return there, nil
}

// beginWriting makes the new file.
func (b *bigFile) beginWriting(data []byte) (err error) {
	if b.fd, b.temporary, err = b.r.create(b.member.parent); err != nil {
		return err
	}
	b.state = bigWriting
	if b.header.Sparse {
		err = os.NewSyscallError("truncate", retry(func() error { return unix.Ftruncate(b.fd, b.header.Size) }))
	}
	if err == nil {
		err = writeData(b.fd, b.header, data, 0)
	}
	return err
}

// differs is what becomes of a file that only looked the same.
func (b *bigFile) differs() error {
	if err := b.r.mayOverwrite(&b.member.entry); err != nil {
		return b.fail(err)
	}
	b.failed.Store(true)
	b.r.restoreAnew(b.member.path)
	return nil
}

// restoreAnew remembers a file that is to be written although one like it is there. What is special in patterns stands
// for itself in paths, which are found by comparing.
func (r *restorer) restoreAnew(path string) {
	r.ledger.mutex.Lock()
	defer r.ledger.mutex.Unlock()
	r.again[path] = true
}

// isRestoredAnew tells whether a file is one of these.
func (r *restorer) isRestoredAnew(path string) bool {
	r.ledger.mutex.Lock()
	defer r.ledger.mutex.Unlock()
	return r.again[path]
}

// doPiece writes a piece of a file, or reads it for a comparison, in parallel with others.
func (r *restorer) doPiece(j *job, b *bigFile) error {
	select {
	case <-b.ready:
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
	p := &j.piece
	switch {
	case b.state == bigGone || b.failed.Load():
		return nil
	case p.lost != nil:
		return b.fail(p.lost)
	case b.state == bigComparing:
		j.content = slices.Grow(j.content[:0], int(p.length))[:p.length]
		if err := readData(b.fd, b.header, j.content, p.offset); err != nil {
			return b.differs()
		}
		return nil
	}
	content, err := r.read(j)
	if err != nil {
		if !isDamage(err) {
			return fmt.Errorf("read the archive: %w", err)
		}
		return b.fail(err)
	}
	if len(bytes.Trim(content[p.length:], "\x00")) > 0 {
		return b.fail(malformed(b.member.path, "is followed by something else than zeros"))
	}
	if err := b.write(content[:p.length], p.offset); err != nil {
		return b.fail(err)
	}
	return nil
}

// write writes a piece of the data, and has the kernel bring it to the disk, so that there is little left to be flushed
// at the end. One piece at a time: the kernel lets no two write to the same file, and has the second one spin.
func (b *bigFile) write(data []byte, offset int64) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	if err := writeData(b.fd, b.header, data, offset); err != nil {
		return err
	}
	// What comes of it shows when everything is flushed.
	_ = unix.SyncFileRange(b.fd, offset, int64(len(data)), unix.SYNC_FILE_RANGE_WRITE)
	return nil
}

// finishPiece hashes a piece, and completes the file with the last one.
func (r *restorer) finishPiece(j *job, b *bigFile) error {
	if b.state == bigGone || b.failed.Load() {
		return nil
	}
	b.hash.Write(j.content[:j.piece.length])
	if !j.piece.last {
		return nil
	}
	good := b.member.entry.HasHash(b.hash.Sum(nil))
	switch {
	case good && b.state == bigComparing:
		b.before = -1
		return r.oneFile(b.member.path, r.standAs(&b.member, b.header, b.fd))
	case good:
		err := r.complete(&b.member, b.header, b.fd, b.temporary, b.what)
		if err == nil {
			b.temporary = ""
		}
		return r.oneFile(b.member.path, err)
	case b.state == bigComparing:
		return b.differs()
	default:
		return b.fail(errContent)
	}
}
