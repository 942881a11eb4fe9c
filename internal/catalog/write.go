// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// NewBackup is a backup that is being written. It has no archive's name until Commit.
type NewBackup struct {
	dir  string
	name Name
	file *os.File
	// sidecar is the list of checksums while it is written, through lines.
	sidecar *os.File
	lines   *bufio.Writer
	// syncDirectory is SyncDirectory, but for tests of what happens when it fails.
	syncDirectory func(string) error
}

// sidecarBuffer is how much of a sidecar is written at once.
const sidecarBuffer = 256 << 10

// ErrNotFlushed means that an archive is complete on disk and has its name, but the directory that holds the name could
// not be flushed: a power failure may take the name away.
var ErrNotFlushed = errors.New("the directory could not be flushed to disk")

// Create begins a backup with the given prefix and time, under the lock. If there is one of that second already, the
// next second is used that is free in the directory and among the files of its mirror: two archives of one name could never
// both be there. The partial file must be ended with Commit or Abort.
func Create(dir, prefix string, t time.Time, mirrored map[string]bool) (*NewBackup, error) {
	name := Name{Prefix: prefix, Time: t.UTC().Truncate(time.Second)}
	for taken(dir, mirrored, name) {
		name.Time = name.Time.Add(time.Second)
	}
	path := filepath.Join(dir, name.String())
	f, err := createPartial(path)
	if err != nil {
		return nil, fmt.Errorf("create the archive: %w", err)
	}
	n := &NewBackup{dir: dir, name: name, file: f, syncDirectory: SyncDirectory}
	n.sidecar, err = createPartial(path + SidecarSuffix)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create the list of checksums: %w", err), n.Abort())
	}
	n.lines = bufio.NewWriterSize(n.sidecar, sidecarBuffer)
	return n, nil
}

// taken reports whether something, be it a stranger's, has the name of the archive or of its sidecar.
func taken(dir string, mirrored map[string]bool, name Name) bool {
	for _, file := range []string{name.String(), name.String() + SidecarSuffix} {
		if _, err := os.Lstat(filepath.Join(dir, file)); err == nil || mirrored[file] {
			return true
		}
	}
	return false
}

// File is where the archive is to be written.
func (n *NewBackup) File() *os.File { return n.file }

// Checksums is where the sidecar is to be written: a line for each regular file in the archive, in the form of
// sha256sum(1). It may come to hundreds of megabytes and goes to disk as it comes.
func (n *NewBackup) Checksums() io.Writer { return n.lines }

// Name is the file name that the archive will have.
func (n *NewBackup) Name() string { return n.name.String() }

// Commit gives the archive its name when everything is on disk, and the sidecar its own before, so that there never is
// an archive without one. After ErrNotFlushed the archive is there; after any other error nothing is left, as after Abort.
func (n *NewBackup) Commit() error {
	path := filepath.Join(n.dir, n.Name())
	err := n.file.Sync()
	if err != nil {
		err = fmt.Errorf("flush the archive: %w", err)
	} else if err = n.file.Close(); err != nil {
		err = fmt.Errorf("close the archive: %w", err)
	} else if err = n.commitSidecar(path + SidecarSuffix); err != nil {
		err = fmt.Errorf("write the list of checksums: %w", err)
	}
	if err != nil {
		return errors.Join(err, n.Abort())
	}
	if err := renameNew(n.file.Name(), path); err != nil {
		return errors.Join(fmt.Errorf("name the archive: %w", err), os.Remove(path+SidecarSuffix), n.Abort())
	}
	if err := n.syncDirectory(n.dir); err != nil {
		return fmt.Errorf("%s: %w: %w", n.dir, ErrNotFlushed, err)
	}
	return nil
}

// commitSidecar gives the sidecar its name, which is on disk when it returns.
func (n *NewBackup) commitSidecar(path string) error {
	if err := n.lines.Flush(); err != nil {
		return err
	}
	if err := nameWritten(n.sidecar, path); err != nil {
		return err
	}
	if err := SyncDirectory(n.dir); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// Abort removes what has been written.
func (n *NewBackup) Abort() error {
	var errs []error
	for _, f := range []*os.File{n.file, n.sidecar} {
		if f == nil {
			continue
		}
		f.Close()
		if err := os.Remove(f.Name()); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove what was written of the archive: %w", err))
		}
	}
	return errors.Join(errs...)
}

// renameNew renames without replacing anything, where the file system can promise that. Where it can't, the lock and
// Create have seen to it.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	// A filter of system calls that doesn't know this one says EPERM; if that was the directory's, it says so once more.
	cannot := func(answer unix.Errno) bool { return errors.Is(err, answer) }
	if cannot(unix.EINVAL) || cannot(unix.ENOSYS) || cannot(unix.EOPNOTSUPP) || cannot(unix.EPERM) {
		return os.Rename(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
