// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
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

// chosen are the flags that choose a backup.
type chosen struct{ directory, prefix, name string }

// addFlags adds the flags.
func (c *chosen) addFlags(cmd *cobra.Command, names string) {
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&c.directory, "directory", "", "the `DIR` that holds the backups, a backup directory or a mirror")
	f.StringVar(&c.prefix, "prefix", "", "take only the backups with this prefix; needed when there are several")
	f.StringVar(&c.name, "backup", latestBackup, "the `NAME` of a backup as list tells it, or "+names)
}

// find lists the backups that are meant, newest first: one, or with "all" all of them. It tells note of what it passes
// over.
func (c *chosen) find(cmd *cobra.Command, note io.Writer) ([]catalog.Backup, error) {
	if c.directory == "" {
		err := errors.New("--directory: give the directory that holds the backups")
		return nil, &usageError{command: cmd.CommandPath(), err: err}
	}
	backups, err := catalog.List(c.directory, c.prefix, time.Now())
	if err != nil {
		return nil, &invalidError{fmt.Errorf("--directory: %w", err)}
	}
	switch c.name {
	case allBackups:
		return backups, nil
	case latestBackup, "":
		b, err := newest(backups, note)
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

// backupFile is a backup's file. Reading it leaves the page cache as it was found.
type backupFile struct {
	*archive.Uncached
	file *os.File
}

func (f *backupFile) Close() error {
	return errors.Join(f.Uncached.Close(), f.file.Close())
}

// openBackup opens a backup's file, and tells its size. The caller closes it.
func openBackup(directory string, b catalog.Backup) (*backupFile, int64, error) {
	f, err := os.OpenFile(filepath.Join(directory, b.File), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", f.Name())
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return &backupFile{archive.NewUncached(f), f}, st.Size(), nil
}

// openArchive opens a backup for reading. The caller closes the file.
func openArchive(directory string, b catalog.Backup) (*archive.Archive, io.Closer, error) {
	f, size, err := openBackup(directory, b)
	if err != nil {
		return nil, nil, err
	}
	a, err := archive.Open(f, size)
	if errors.Is(err, archive.ErrNoIndex) {
		err = fmt.Errorf("%w; \"tar --zstd -xf\" restores it", err)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, fmt.Errorf("%s: %w", b.File, err)
	}
	return a, f, nil
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
	for _, lasting := range []error{
		unix.EMFILE, // The next try would have the same limit.
		archive.ErrNotArchive, archive.ErrTruncated, archive.ErrFutureFormat, archive.ErrNoIndex, archive.ErrDamaged,
		restore.ErrInvalidTarget, restore.ErrInvalidPattern, restore.ErrNoMatch, restore.ErrConflict, restore.ErrMalformed,
	} {
		if errors.Is(err, lasting) {
			exit = report.ExitInvalid
		}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Error: %s\n", err)
	return exitStatus(exit)
}
