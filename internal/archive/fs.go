// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// stat is what the walk needs to know of a file.
type stat struct {
	mode     uint32 // type and permissions
	uid, gid uint32
	size     int64
	blocks   int64 // of 512 bytes, that the file occupies
	mtime    timestamp
	ctime    timestamp
	id       fileID
	nlink    uint64
	rdev     uint64
}

// fileID tells files from each other, whatever they are named.
type fileID struct{ dev, ino uint64 }

func newStat(s *unix.Stat_t) stat {
	return stat{
		mode: s.Mode, uid: s.Uid, gid: s.Gid, size: s.Size, blocks: s.Blocks,
		mtime: newTimestamp(int64(s.Mtim.Sec), int64(s.Mtim.Nsec)),
		ctime: newTimestamp(int64(s.Ctim.Sec), int64(s.Ctim.Nsec)),
		id:    fileID{uint64(s.Dev), s.Ino}, nlink: uint64(s.Nlink), rdev: uint64(s.Rdev),
	}
}

// kind is the type bits of the mode.
func (s *stat) kind() uint32 { return s.mode & unix.S_IFMT }

// retry repeats a system call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func fstat(fd int) (stat, error) {
	var s unix.Stat_t
	err := retry(func() error { return unix.Fstat(fd, &s) })
	return newStat(&s), err
}

func lstatAt(dir int, name string) (stat, error) {
	var s unix.Stat_t
	err := retry(func() error { return unix.Fstatat(dir, name, &s, unix.AT_SYMLINK_NOFOLLOW) })
	return newStat(&s), err
}

// openAt opens a file below a directory for reading. It never follows a link at the end of name, never waits (for the
// writer of a pipe, say), and leaves the access time alone where the kernel allows it.
func openAt(dir int, name string, flags int) (int, error) {
	flags |= unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, err := openRetry(dir, name, flags|unix.O_NOATIME)
	if errors.Is(err, unix.EPERM) {
		// Only a file's owner may ask for O_NOATIME.
		fd, err = openRetry(dir, name, flags)
	}
	return fd, err
}

func openRetry(dir int, name string, flags int) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(dir, name, flags, 0)
		return err
	})
	return fd, err
}

// readAt fills buf from offset on, with flags as for preadv2. It returns io.ErrUnexpectedEOF when the file ends before.
func readAt(fd int, buf []byte, offset int64, flags int) (int, error) {
	done := 0
	for done < len(buf) {
		n, err := readOnce(fd, buf[done:], offset+int64(done), flags)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return done, err
		case n == 0:
			return done, io.ErrUnexpectedEOF
		default:
			done += n
		}
	}
	return done, nil
}

func readOnce(fd int, buf []byte, offset int64, flags int) (int, error) {
	if flags != 0 {
		return unix.Preadv2(fd, [][]byte{buf}, offset, flags)
	}
	return unix.Pread(fd, buf, offset)
}

// readLinkAt reads a symbolic link's target, of which the link's size is a hint.
func readLinkAt(dir int, name string, size int64) (string, error) {
	for buf := make([]byte, max(size, 0)+64); ; buf = make([]byte, 2*len(buf)) {
		var n int
		err := retry(func() (err error) {
			n, err = unix.Readlinkat(dir, name, buf)
			return err
		})
		if err != nil || n < len(buf) {
			return string(buf[:max(n, 0)]), err
		}
	}
}

// procPath names a file below an open directory for the system calls that take paths only.
func procPath(dir int, name string) string {
	return "/proc/self/fd/" + strconv.Itoa(dir) + "/" + name
}

// directory is an open directory, which stays open until the last entry that needs it is done.
type directory struct {
	fd   int
	uses atomic.Int64
}

// newDirectory takes over fd; the caller has one use of it.
func newDirectory(fd int) *directory {
	d := &directory{fd: fd}
	d.uses.Store(1)
	return d
}

func (d *directory) use() *directory {
	d.uses.Add(1)
	return d
}

func (d *directory) release() {
	if d != nil && d.uses.Add(-1) == 0 {
		_ = unix.Close(d.fd)
	}
}

// readNames lists a directory, sorted by bytes. What could be read is returned also with an error.
func readNames(fd int, buf []byte) ([]string, error) {
	var names []string
	for {
		n := 0
		err := retry(func() (err error) {
			n, err = unix.ReadDirent(fd, buf)
			return err
		})
		if err != nil || n <= 0 {
			slices.Sort(names)
			// A directory that changes while it is listed may name a file twice.
			return slices.Compact(names), err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}
