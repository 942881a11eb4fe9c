// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// EnsureDirectory makes a directory with all above it. What it makes is private to the user who runs it, because
// everything in a backup is sensitive; what is there already is left as it is.
func EnsureDirectory(dir string) error {
	return os.MkdirAll(dir, 0o700)
}

// TestWrite writes a small file into a directory, flushes it, reads it back and removes it. It must be called under
// the lock of the prefix.
func TestWrite(dir, prefix string) error {
	path := writeTestPath(dir, prefix)
	if err := removeRegular(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	err = writeAndRead(f, []byte("written by the backup to see whether it can\n"))
	return errors.Join(err, f.Close(), os.Remove(path))
}

func writeAndRead(f *os.File, content []byte) error {
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	back := make([]byte, len(content))
	if _, err := f.ReadAt(back, 0); err != nil {
		return err
	}
	if !bytes.Equal(back, content) {
		return fmt.Errorf("%s: what was read is not what was written", f.Name())
	}
	return nil
}

func writeTestPath(dir, prefix string) string { return filepath.Join(dir, "."+prefix+".write-test") }

// Space is the space of a file system in bytes.
type Space struct {
	// Free is what this process may still write.
	Free int64
	// Total is the file system's size.
	Total int64
}

// MeasureSpace tells the space of the file system that holds a directory. What is reserved for root
// does not count as free.
func MeasureSpace(dir string) (Space, error) {
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	for errors.Is(err, unix.EINTR) {
		err = unix.Statfs(dir, &st)
	}
	if err != nil {
		return Space{}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	unit := st.Frsize
	if unit == 0 {
		unit = st.Bsize
	}
	return Space{Free: int64(st.Bavail) * unit, Total: int64(st.Blocks) * unit}, nil
}
