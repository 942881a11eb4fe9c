// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What is in an archive may have modes that lock out its owner, and after a first restore that is who restores, if it
// isn't root. The functions of this file open such files and directories all the same, and give them back their modes.

// openStanding opens a regular file that stands for reading. If its mode had to be changed for that, before is the mode
// to be put back unless the file gets another one; else it is -1.
func openStanding(dir int, name string) (fd, before int, err error) {
	fd, err = openAt(dir, name, unix.O_RDONLY, 0)
	if !errors.Is(err, unix.EACCES) {
		return fd, -1, err
	}
	path, pathErr := openAt(dir, name, unix.O_PATH, 0)
	if pathErr != nil {
		return -1, -1, err
	}
	defer unix.Close(path)
	mode, ok := allow(path, unix.S_IFREG, 0o600)
	if !ok {
		return -1, -1, err
	}
	if fd, err = openAt(dir, name, unix.O_RDONLY, 0); err != nil {
		_ = chmodPath(path, mode)
		return -1, -1, err
	}
	return fd, int(mode), nil
}

// putBack gives an open file the mode that it had before openStanding.
func putBack(fd, before int) {
	if before >= 0 {
		_ = unix.Fchmod(fd, uint32(before))
	}
}

// allow adds rights to the mode of a file of a kind, if it belongs to who restores and lacks them. It returns the mode of
// before. The file descriptor may be one that only stands for the file.
func allow(fd int, kind, rights uint32) (before uint32, ok bool) {
	var st unix.Stat_t
	if retry(func() error { return unix.Fstat(fd, &st) }) != nil || st.Mode&unix.S_IFMT != kind || int(st.Uid) != os.Geteuid() {
		return 0, false
	}
	before = st.Mode & 0o7777
	return before, before&rights != rights && chmodPath(fd, before|rights) == nil
}

// chmodPath changes a mode through a file descriptor that only stands for the file.
func chmodPath(fd int, mode uint32) error {
	return retry(func() error { return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode) })
}

// way is an open directory, with the directories on the way to it that had to be opened up.
type way struct {
	fd     int
	opened []openedUp
}

// openedUp is a directory with the mode that it had.
type openedUp struct {
	fd   int
	mode uint32
}

// openBelow opens a directory by its path below another one, following no links on the way.
func openBelow(root int, path string) (*way, error) {
	if fd, err := openBeneath(root, path); err == nil {
		return &way{fd: fd}, nil
	}
	w := &way{fd: -1}
	err := w.enter(root, ".")
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if err != nil || name == "" {
			break
		}
		err = w.enter(w.fd, name)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// openBeneath opens a directory that can be used, in a single call however deep it is. It fails where the kernel doesn't
// know that call, and where a mode or the length of the path is in the way: one level at a time may go further.
func openBeneath(root int, path string) (fd int, err error) {
	path = "./" + strings.Trim(path, "/")
	err = retry(func() error {
		fd, err = unix.Openat2(root, path, &unix.OpenHow{
			Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
		})
		return err
	})
	if err != nil {
		return -1, err
	}
	if _, err := statAt(fd, "."); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (w *way) enter(above int, name string) error {
	fd, err := openAt(above, name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	w.leave()
	w.fd = fd
	if _, err := statAt(fd, "."); errors.Is(err, unix.EACCES) {
		if mode, ok := allow(fd, unix.S_IFDIR, 0o100); ok {
			w.opened = append(w.opened, openedUp{fd, mode})
		}
	}
	return nil
}

// leave closes the directory, unless that is still to get its mode back.
func (w *way) leave() {
	if n := len(w.opened); w.fd >= 0 && (n == 0 || w.opened[n-1].fd != w.fd) {
		_ = unix.Close(w.fd)
	}
}

// close closes the directory and gives back the modes.
func (w *way) close() {
	w.leave()
	for _, d := range slices.Backward(w.opened) {
		_ = chmodPath(d.fd, d.mode)
		_ = unix.Close(d.fd)
	}
}
