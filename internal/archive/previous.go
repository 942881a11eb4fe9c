// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"appliance.io/backup-operator/internal/archive/index"
)

// previous is the archive that frames are taken over from. What is wrong with it costs reuse, never correctness.
type previous struct {
	file    *os.File
	reader  *Uncached // through which archive reads the file
	archive *Archive
	stat    stat // when it was opened
	// distrusted are the paths of files that aren't to be taken over.
	distrusted map[string]bool
}

// errPrevious means that the previous archive can't be relied on after all, which shows only when something of it is in
// the new one already. The archive must be made again without it.
var errPrevious = errors.New("the previous archive can't be relied on")

// errChanged means that somebody wrote to the previous archive.
var errChanged = errors.New("it was changed while it was read")

// distrustedError means that a file can't be taken over from the previous archive after all, of which something is in the
// new one already. The archive must be made again without that.
type distrustedError struct {
	path string
	err  error
}

func (e *distrustedError) Error() string {
	return fmt.Sprintf("%s can't be read in place of a part of the previous archive: %v", e.path, e.err)
}

func (e *distrustedError) Unwrap() error { return e.err }

// openPrevious opens an archive to take frames over from; nil if there is none, or none that could be taken.
func openPrevious(f *os.File, level int) *previous {
	if f == nil {
		return nil
	}
	st, err := fstat(int(f.Fd()))
	if err != nil {
		return nil
	}
	reader := NewUncached(f)
	a, err := Open(reader, st.size)
	if err != nil {
		_ = reader.Close()
		return nil
	}
	p := &previous{file: f, reader: reader, archive: a, stat: st}
	if h := a.Info().Header; h.Format != Format || h.Level != level {
		p.close()
		return nil
	}
	return p
}

func (p *previous) name() string { return filepath.Base(p.file.Name()) }

// trouble is what an error of reading the previous archive means, and the error with whose it is. Only bytes that are not
// those that were written, or that the disk has lost, are damage, and an archive that somebody changes.
func (p *previous) trouble(err error) (WarningKind, error) {
	kind := troubleKind(err)
	err = fmt.Errorf("the previous archive %s: %w", p.name(), err)
	if kind == Damaged {
		err = fmt.Errorf("%w; check the health of its storage", err)
	}
	return kind, err
}

func troubleKind(err error) WarningKind {
	if isDamage(err) || errors.Is(err, ErrTruncated) || errors.Is(err, io.EOF) || errors.Is(err, errChanged) {
		return Damaged
	}
	return NotReused
}

func (p *previous) close() {
	if p != nil {
		p.archive.decoder.Close()
		_ = p.reader.Close()
	}
}

// check returns an error if the file isn't any more what it was when it was opened. That it has lost its name is no harm.
func (p *previous) check() error {
	if p == nil {
		return nil
	}
	now, err := fstat(int(p.file.Fd()))
	if err == nil && (now.size != p.stat.size || now.mtime != p.stat.mtime) {
		err = errChanged
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", errPrevious, p.name(), err)
	}
	return nil
}

// oldFrame is a frame of the previous archive.
type oldFrame struct {
	index.Frame
	offset int64 // in the file
}
