// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
)

// compareSize is how much of two files is compared at a time.
const compareSize = 1 << 20

// share is a part of a file: one of so many.
type share struct{ part, of int64 }

// whole is all of a file.
var whole = share{0, 1}

// mendMirror sends again what the mirror doesn't have as it was sent. rsync goes by size and time, which damage doesn't
// change. So the records of the copies are read, and a share of each is compared with the archive here: the
// next one in each run, as the archive's rank from the newest grows by one, so that all of it is compared within
// VerifyRuns runs.
func (r *run) mendMirror(ctx context.Context, sent []catalog.Backup, receiving string) error {
	flawed, err := r.flawed(ctx, sent, func(rank int) share {
		of := int64(r.config.verifyRuns())
		return share{int64(rank) % of, of}
	})
	if err != nil || len(flawed) == 0 {
		return err
	}
	again, err := r.soundOnes(ctx, flawed)
	if err != nil || len(again) == 0 {
		return err
	}
	var need int64
	for _, b := range again {
		need = max(need, b.Bytes+catalog.SidecarBytes(r.config.Directory, b))
		r.log.Warn("the mirror's copy is damaged and is sent again", "archive", b.File)
	}
	if err := r.checkMirrorSpace(need); err != nil {
		return err
	}
	if err := r.send(ctx, again, receiving, true); err != nil {
		return err
	}
	for _, b := range again {
		delete(r.examined, filepath.Join(r.mirror.path, b.File))
	}
	still, err := r.flawed(ctx, again, func(int) share { return whole })
	if err != nil {
		return err
	}
	if len(still) > 0 {
		return fmt.Errorf("%s %s: rsync reported success twice, but %s is not there as it was sent: check the health of the "+
			"remote end", r.mirror.flag, r.mirror.path, still[0].File)
	}
	for _, b := range again {
		r.find(report.FindingMirrorDamaged, "the copy of %s in %s was damaged and has been sent again: check the health of the "+
			"remote end", b.File, r.mirror.path)
	}
	return nil
}

// soundOnes are the backups that may be sent again because every byte of them is as it was written. Of others, the
// mirror's copy may be the better one.
func (r *run) soundOnes(ctx context.Context, flawed []catalog.Backup) ([]catalog.Backup, error) {
	var sound []catalog.Backup
	for _, b := range flawed {
		f, err := catalog.Open(r.config.Directory, b)
		if err != nil {
			return nil, err
		}
		file := archive.NewUncached(f)
		v, err := archive.Verify(ctx, file, b.Bytes, archive.VerifyOptions{Concurrency: r.config.Concurrency})
		if err = errors.Join(err, file.Close(), f.Close()); err != nil {
			return nil, err
		}
		if v.Problems == 0 {
			sound = append(sound, b)
			continue
		}
		r.find(report.FindingArchiveDamaged, "the archive %s in --directory %s is damaged and differs from its copy in "+
			"--rsync-directory %s, which is left alone: verify the copy with backup-operator verify, copy it back if it is sound "+
			"(%s), and check the health of the storage", b.File, r.config.Directory, r.mirror.path, report.VolumeShell)
	}
	return sound, nil
}

// flawed returns the backups of which the mirror's copy isn't as it was sent: by what it says of itself, or in the share
// of it that is compared. The backups are ordered newest first; share is given the rank of each.
func (r *run) flawed(ctx context.Context, backups []catalog.Backup, choose func(rank int) share) ([]catalog.Backup, error) {
	there, err := r.list(&r.mirror.directory)
	if err != nil {
		return nil, err
	}
	found := make(map[string]catalog.Backup, len(there))
	for _, b := range there {
		found[b.File] = b
	}
	var flawed []catalog.Backup
	for rank, b := range backups {
		copied := r.examine(&r.mirror.directory)(found[b.File])
		same := copied.Good() && copied.Bytes == b.Bytes && copied.Header == b.Header
		for _, file := range []string{b.File, b.File + catalog.SidecarSuffix} {
			if !same {
				break
			}
			if same, err = r.sameShare(ctx, file, choose(rank)); err != nil {
				return nil, err
			}
		}
		if !same {
			flawed = append(flawed, b)
		}
	}
	return flawed, nil
}

// sameShare reports whether a share of a file is the same in the backup directory and in the mirror. What the mirror
// can't read there is not the same.
func (r *run) sameShare(ctx context.Context, file string, s share) (bool, error) {
	here, err := openUncached(filepath.Join(r.config.Directory, file))
	if err != nil {
		return false, err
	}
	defer func() { _ = here.close() }()
	m := &r.mirror.directory
	there, err := look(m, func() (*uncachedFile, error) { return openUncached(filepath.Join(m.path, file)) })
	if err != nil {
		return false, m.silent
	}
	defer func() { _ = m.do(there.close) }()
	if here.size != there.size {
		return false, nil
	}
	end := here.size * (s.part + 1) / s.of
	a, b := make([]byte, compareSize), make([]byte, compareSize)
	for offset := here.size * s.part / s.of; offset < end; offset += compareSize {
		if err := ctx.Err(); err != nil {
			return false, context.Cause(ctx)
		}
		n := min(compareSize, end-offset)
		if _, err := here.ReadAt(a[:n], offset); err != nil && !errors.Is(err, io.EOF) {
			return false, fmt.Errorf("read %s in %s: %w", file, r.config.Directory, err)
		}
		if _, err := look(m, func() (int, error) { return there.ReadAt(b[:n], offset) }); err != nil && !errors.Is(err, io.EOF) {
			return false, m.silent
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return false, nil
		}
	}
	return true, nil
}

// uncachedFile is an open file that leaves the page cache as it was.
type uncachedFile struct {
	*archive.Uncached
	file *os.File
	size int64
}

func openUncached(path string) (*uncachedFile, error) {
	f, err := catalog.OpenRegular(path)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &uncachedFile{archive.NewUncached(f), f, fi.Size()}, nil
}

func (f *uncachedFile) close() error { return errors.Join(f.Close(), f.file.Close()) }
