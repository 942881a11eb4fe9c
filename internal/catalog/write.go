// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"encoding/hex"
	"errors"
	"fmt"
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
	// syncDirectory is SyncDirectory, but for tests of what happens when it fails.
	syncDirectory func(string) error
}

// ErrNotFlushed means that an archive is complete on disk and has its name, but the directory that holds the name could
// not be flushed: a power failure may take the name away.
var ErrNotFlushed = errors.New("the directory could not be flushed to disk")

// Create begins a backup with the given prefix and time, under the lock. If there is one of that second already, the
// next second is used that is free in the directory and in the mirrors, if they can be read: two archives of one name
// could never be in a mirror both. The partial file must be ended with Commit or Abort.
func Create(dir, prefix string, t time.Time, mirrors ...string) (*NewBackup, error) {
	name := Name{Prefix: prefix, Time: t.UTC().Truncate(time.Second)}
	for taken(append(mirrors, dir), name) {
		name.Time = name.Time.Add(time.Second)
	}
	f, err := createPartial(filepath.Join(dir, name.String()))
	if err != nil {
		return nil, fmt.Errorf("create the archive: %w", err)
	}
	return &NewBackup{dir: dir, name: name, file: f, syncDirectory: SyncDirectory}, nil
}

// taken reports whether something, be it a stranger's, has the name of the archive or of its sidecar.
func taken(dirs []string, name Name) bool {
	for _, dir := range dirs {
		path := filepath.Join(dir, name.String())
		for _, p := range []string{path, path + SidecarSuffix} {
			if _, err := os.Lstat(p); err == nil {
				return true
			}
		}
	}
	return false
}

// File is where the archive is to be written.
func (n *NewBackup) File() *os.File { return n.file }

// Name is the file name that the archive will have.
func (n *NewBackup) Name() string { return n.name.String() }

// Commit gives the archive its name when everything is on disk, and the sidecar with the checksum before, so that
// there never is an archive without one. After ErrNotFlushed the archive is there; after any other error nothing is left,
// as after Abort.
func (n *NewBackup) Commit(sha256 [32]byte) error {
	path := filepath.Join(n.dir, n.Name())
	err := n.file.Sync()
	if err != nil {
		err = fmt.Errorf("flush the archive: %w", err)
	} else if err = n.file.Close(); err != nil {
		err = fmt.Errorf("close the archive: %w", err)
	}
	if err == nil {
		err = writeFile(path+SidecarSuffix, sidecar(n.Name(), sha256))
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

// Abort removes what has been written.
func (n *NewBackup) Abort() error {
	n.file.Close()
	if err := os.Remove(n.file.Name()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove what was written of the archive: %w", err)
	}
	return nil
}

// renameNew renames without replacing anything, where the file system can promise that. Where it can't, the lock and
// Create have seen to it.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		return os.Rename(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// sidecar is a line as sha256sum(1) writes and checks it.
func sidecar(file string, sha256 [32]byte) []byte {
	return []byte(hex.EncodeToString(sha256[:]) + "  " + file + "\n")
}
