// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"io"
	"os"
	"strconv"

	"appliance.io/backup-operator/internal/archive/index"
	"golang.org/x/sys/unix"
)

// All names that the functions of this file are given are single path elements, and none follows a link.

// retry repeats a system call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func openAt(dir int, name string, flags int, mode uint32) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, mode)
		return err
	})
	if err != nil {
		return -1, os.NewSyscallError("open", err)
	}
	return fd, nil
}

func statAt(dir int, name string) (st unix.Stat_t, err error) {
	err = retry(func() error { return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return st, err
}

// modTime is when a file's content was changed last.
func modTime(st *unix.Stat_t) index.Time {
	return index.Time{Sec: int64(st.Mtim.Sec), Nsec: int32(st.Mtim.Nsec)}
}

// setModTime sets it, and the time of the last access to now: many file systems in user space pass over one without the
// other and say that all is well.
func setModTime(dir int, name string, t index.Time, flags int) error {
	times := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Sec: t.Sec, Nsec: int64(t.Nsec)}}
	return os.NewSyscallError("utimensat", retry(func() error { return unix.UtimesNanoAt(dir, name, times, flags) }))
}

// writeAt writes all of b.
func writeAt(fd int, b []byte, offset int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, offset)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("write", err)
		}
		b, offset = b[max(n, 0):], offset+int64(max(n, 0))
	}
	return nil
}

// readAt fills b. A file that ends before is an error.
func readAt(fd int, b []byte, offset int64) error {
	for len(b) > 0 {
		n, err := unix.Pread(fd, b, offset)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return os.NewSyscallError("read", err)
		case n == 0:
			return io.ErrUnexpectedEOF
		default:
			b, offset = b[n:], offset+int64(n)
		}
	}
	return nil
}

// readLinkAt reads where a symbolic link leads. It reads no more than it takes to tell that it is longer than limit.
func readLinkAt(dir int, name string, limit int) (string, error) {
	buf := make([]byte, limit+1)
	n := 0
	err := retry(func() (err error) {
		n, err = unix.Readlinkat(dir, name, buf)
		return err
	})
	return string(buf[:max(n, 0)]), err
}

// procPath names a file below an open directory for the system calls that take paths only.
func procPath(dir int, name string) string {
	return "/proc/self/fd/" + strconv.Itoa(dir) + "/" + name
}

// concernsOneFile tells whether an answer of a file system is about one file, so that others are worth a try. Else it is
// about the file system: no space, an error of the disk.
func concernsOneFile(err error) bool {
	for _, one := range []error{
		unix.EACCES, unix.EPERM, unix.ENAMETOOLONG, unix.EINVAL, unix.EFBIG, unix.EOPNOTSUPP, unix.EILSEQ, unix.EEXIST,
		unix.EISDIR, unix.ENOTDIR, unix.ENOTEMPTY, unix.ELOOP, unix.ENXIO, unix.EMLINK, unix.ETXTBSY, unix.EOVERFLOW,
		unix.E2BIG, unix.ERANGE, errNoRoom, // attributes that are too big
		unix.EXDEV, unix.EBUSY, // something is mounted below the target, or on what is to be replaced
	} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}
