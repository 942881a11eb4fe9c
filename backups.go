// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
	"appliance.io/backup-operator/internal/restore"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// latest and all are what stands for backups in place of a name.
const (
	latestBackup = "latest"
	allBackups   = "all"
)

// invalidError is a mistake in what was asked for that has nothing to do with how flags are written: a retry can't help,
// and neither can the help.
type invalidError struct{ err error }

func (e *invalidError) Error() string { return e.err.Error() }
func (e *invalidError) Unwrap() error { return e.err }

// answerTimeout is how long the file system of a directory may take to answer, by default.
const answerTimeout = time.Minute

// patience is how many times that an answer may take once the work has begun: what passes must not cost it.
const patience = 10

// chosen are the flags that choose a backup.
type chosen struct {
	directory, prefix, name string
	answerTimeout           time.Duration
}

// addAnswerTimeout adds the flag that limits how long a directory may take to answer.
func addAnswerTimeout(cmd *cobra.Command, timeout *time.Duration) {
	cmd.Flags().DurationVar(timeout, "answer-timeout", answerTimeout,
		"how long the directory may take to answer before the command gives up; ten times as long once it is at work; 0 means "+
			"forever")
}

// listBackups lists the backups in a directory, if its file system answers.
func listBackups(directory, prefix string, timeout time.Duration) ([]catalog.Backup, error) {
	if err := catalog.Probe(directory, timeout); err != nil {
		return nil, fmt.Errorf("--directory: %w", err)
	}
	backups, err := catalog.Within(directory, patience*timeout, func() ([]catalog.Backup, error) {
		return catalog.List(directory, prefix, time.Now())
	})
	var silent *catalog.NoAnswerError
	switch {
	case errors.As(err, &silent):
		return nil, fmt.Errorf("--directory: %w", err)
	case err != nil:
		return nil, &invalidError{fmt.Errorf("--directory: %w", err)}
	}
	return backups, nil
}

// addFlags adds the flags.
func (c *chosen) addFlags(cmd *cobra.Command, names string) {
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&c.directory, "directory", "", "the `DIR` that holds the backups, a backup directory or a mirror")
	f.StringVar(&c.prefix, "prefix", "", "take only the backups with this prefix; needed when there are several")
	f.StringVar(&c.name, "backup", latestBackup, "the `NAME` of a backup as list tells it, or "+names)
	addAnswerTimeout(cmd, &c.answerTimeout)
}

// find lists the backups that are meant, newest first: one, or with "all" all of them. It tells note of what it passes
// over.
func (c *chosen) find(cmd *cobra.Command, note io.Writer) ([]catalog.Backup, error) {
	if c.directory == "" {
		err := errors.New("--directory: give the directory that holds the backups")
		return nil, &usageError{command: cmd.CommandPath(), err: err}
	}
	backups, err := listBackups(c.directory, c.prefix, c.answerTimeout)
	if err != nil {
		return nil, err
	}
	switch c.name {
	case allBackups:
		return backups, nil
	case latestBackup, "":
		b, err := newest(backups, c.examine, note)
		if err != nil {
			return nil, &invalidError{fmt.Errorf("--directory %s: %w", c.directory, err)}
		}
		return []catalog.Backup{b}, nil
	}
	i := slices.IndexFunc(backups, func(b catalog.Backup) bool { return b.File == c.name })
	if i < 0 {
		err := fmt.Errorf("--backup %q: there is no such backup in %s; \"list\" tells the names", c.name, c.directory)
		return nil, &invalidError{err}
	}
	return backups[i : i+1], nil
}

// backupFile is a backup's file. Reading it leaves the page cache as it was found, and fails if the file system doesn't
// answer: from then on nobody touches the file any more.
type backupFile struct {
	directory string
	limit     time.Duration
	uncached  *archive.Uncached
	file      *os.File
	size      int64
	silent    atomic.Pointer[catalog.NoAnswerError]
}

// ReadAt fills buf from offset on. After a NoAnswerError, buf may still change.
func (f *backupFile) ReadAt(buf []byte, offset int64) (int, error) {
	if err := f.silent.Load(); err != nil {
		return 0, err
	}
	n, err := catalog.Within(f.directory, f.limit, func() (int, error) { return f.uncached.ReadAt(buf, offset) })
	var silent *catalog.NoAnswerError
	if errors.As(err, &silent) {
		f.silent.Store(silent)
	}
	return n, err
}

func (f *backupFile) hangs() bool { return f.silent.Load() != nil }

// Close closes the file, unless that would wait for an answer that doesn't come.
func (f *backupFile) Close() error {
	if f.hangs() {
		return nil
	}
	_, err := catalog.Within(f.directory, f.limit, func() (struct{}, error) {
		return struct{}{}, errors.Join(f.uncached.Close(), f.file.Close())
	})
	return err
}

// openBackup opens a backup's file. The caller closes it.
func (c *chosen) openBackup(b catalog.Backup) (*backupFile, error) {
	limit := patience * c.answerTimeout
	return catalog.Within(c.directory, limit, func() (*backupFile, error) {
		file, err := catalog.OpenRegular(filepath.Join(c.directory, b.File))
		if err != nil {
			return nil, err
		}
		st, err := file.Stat()
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		return &backupFile{
			directory: c.directory, limit: limit, uncached: archive.NewUncached(file), file: file, size: st.Size(),
		}, nil
	})
}

// openArchive opens a backup for reading, also a damaged one of which something can be restored. The caller closes the file.
func (c *chosen) openArchive(ctx context.Context, b catalog.Backup) (*archive.Archive, io.Closer, error) {
	f, err := c.openBackup(b)
	if err != nil {
		return nil, nil, err
	}
	a, err := archive.Open(f, f.size)
	switch {
	case errors.Is(err, archive.ErrNoIndex):
		err = fmt.Errorf("%w; \"tar --zstd -xf\" restores it", err)
	case err != nil:
		a, err = salvage(ctx, f, err)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, fmt.Errorf("%s: %w", b.File, err)
	}
	return a, f, nil
}

// salvage opens a backup that can't be opened in the ordinary way.
func salvage(ctx context.Context, f *backupFile, why error) (*archive.Archive, error) {
	a, err := archive.Salvage(ctx, f, f.size)
	switch {
	case err == nil:
		return a, nil
	case context.Cause(ctx) != nil:
		return nil, context.Cause(ctx)
	case errors.Is(why, archive.ErrTruncated), errors.Is(why, archive.ErrDamaged):
		return nil, fmt.Errorf("%w; nothing that can be restored is found in it. \"tar --zstd -xf\" may still restore a part", why)
	}
	return nil, why
}

// exitOf maps an error of reading a backup to an exit status, and tells it.
func exitOf(cmd *cobra.Command, err error) error {
	var usage *usageError
	var status exitStatus
	if err == nil || errors.As(err, &usage) || errors.As(err, &status) {
		return err
	}
	exit := report.ExitFailed
	var invalid *invalidError
	if errors.As(err, &invalid) {
		exit = report.ExitInvalid
	}
	err = archive.ExplainOpenFiles(err)
	if errors.Is(err, archive.ErrTruncated) || errors.Is(err, archive.ErrDamaged) {
		exit = report.ExitIncomplete
	}
	for _, lasting := range []error{
		unix.EMFILE, // The next try would have the same limit.
		archive.ErrNotArchive, archive.ErrFutureFormat, archive.ErrNoIndex,
		restore.ErrInvalidTarget, restore.ErrInvalidPattern, restore.ErrNoMatch, restore.ErrConflict, restore.ErrMalformed,
	} {
		if errors.Is(err, lasting) {
			exit = report.ExitInvalid
		}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Error: %s\n", err)
	return exitStatus(exit)
}
