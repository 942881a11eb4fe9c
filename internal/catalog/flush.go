// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// createPartial creates the hidden file that will become path, anew: what is left of an earlier attempt is removed. It
// never writes through a link that somebody put there.
func createPartial(path string) (*os.File, error) {
	partial := partialPath(path)
	if err := os.Remove(partial); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(partial, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
}

func partialPath(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+partialSuffix)
}

// writeFile writes a small file so that it is there in full or not at all, even after a power failure.
func writeFile(path string, content []byte) error {
	f, err := createPartial(path)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err != nil {
		f.Close()
	} else {
		err = nameWritten(f, path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return SyncDirectory(filepath.Dir(path))
}

// nameWritten gives a partial file its name when what was written to it is on disk. It closes the file.
func nameWritten(f *os.File, path string) error {
	err := f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}

// SyncDirectory flushes a directory, so that the names that were given or removed in it survive a power failure. File
// systems that can't flush directories, some network ones, are none the worse for it: their server does it.
func SyncDirectory(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EBADF) {
		return nil
	}
	return err
}
