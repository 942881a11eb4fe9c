// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"appliance.io/backup-operator/internal/archive/index"
	"golang.org/x/sys/unix"
)

// maxSingly is up to how many entries are flushed one by one. Flushing a whole file system waits for what others write
// to it as well, which is out of proportion to a few files.
const maxSingly = 32

// flush returns when everything that was restored is on the disks.
func (r *restorer) flush() error {
	if !r.ledger.many && r.flushSingly() == nil {
		return nil
	}
	return r.roots.flush()
}

// flushSingly flushes each entry and the directory that it is in. Whatever it can't do, flushing all of the file system
// does.
func (r *restorer) flushSingly() error {
	for _, path := range r.ledger.touched {
		source := index.SourceOf(path)
		root := r.roots[source]
		if path == source {
			if err := flushPath(filepath.Dir(root.path)); err != nil {
				return err
			}
			if err := retry(func() error { return unix.Fsync(root.fd()) }); err != nil {
				return err
			}
			continue
		}
		dir, err := openBelow(root.fd(), strings.TrimPrefix(parentPath(path), source))
		if err != nil {
			return err
		}
		err = flushAt(dir.fd, ".")
		if err == nil {
			err = flushAt(dir.fd, baseName(path))
		}
		dir.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// flushAt flushes a file or directory. Others have nothing that isn't in their directory; opening one could do things.
func flushAt(dir int, name string) error {
	st, err := statAt(dir, name)
	if err != nil {
		return os.NewSyscallError("stat", err)
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return nil
	}
	fd, err := openAt(dir, name, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return os.NewSyscallError("fsync", retry(func() error { return unix.Fsync(fd) }))
}

func flushPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// flush returns when everything that was written to the file systems of the targets is on the disks.
func (rs roots) flush() error {
	done := map[uint64]bool{}
	for _, r := range rs {
		if r.file == nil {
			continue
		}
		var st unix.Stat_t
		if err := unix.Fstat(r.fd(), &st); err != nil {
			return fmt.Errorf("flush %s: %w", r.path, err)
		}
		if done[uint64(st.Dev)] {
			continue
		}
		if err := retry(func() error { return unix.Syncfs(r.fd()) }); err != nil {
			return fmt.Errorf("flush %s: %w", r.path, err)
		}
		done[uint64(st.Dev)] = true
	}
	return nil
}
