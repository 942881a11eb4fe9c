// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"slices"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// FileSystem is a directory below a source's root where another file system is mounted, or was when an earlier archive was
// made. The next runs compare: a file system that isn't mounted any more leaves its directory behind.
type FileSystem struct {
	// Path is relative to the source's root.
	Path string `json:"path"`
	// Gone is true if nothing is mounted there any more.
	Gone bool `json:"gone,omitempty"`
	// Files and Bytes are how many regular files the walk saw there, and their size. What is in another file system further
	// below counts there.
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
}

// The summary has a size to keep to, so no more file systems than these are recorded of a source.
const (
	maxFileSystems     = 64
	maxFileSystemsPath = 1 << 10
)

// fileSystems are those inside a source, as the walk comes across them.
type fileSystems struct {
	known   []string // paths of earlier ones
	found   []*FileSystem
	current *FileSystem // that the walk is in; nil for the source's own
	dev     uint64      // of the directory that the walk is in
}

// enter is called with each directory that the walk enters. It returns the function that leaves it.
func (s *fileSystems) enter(fd int, path string, dev uint64) (leave func()) {
	outer, outerDev := s.current, s.dev
	mounted := isMountRoot(fd, dev != s.dev)
	s.dev = dev
	if (mounted || slices.Contains(s.known, path)) && s.fits(path) {
		s.current = &FileSystem{Path: path, Gone: !mounted}
		s.found = append(s.found, s.current)
	}
	return func() { s.current, s.dev = outer, outerDev }
}

func (s *fileSystems) fits(path string) bool {
	return len(s.found) < maxFileSystems && len(path) <= maxFileSystemsPath && utf8.ValidString(path)
}

// count counts a regular file.
func (s *fileSystems) count(st *stat) {
	if s.current != nil && st.kind() == unix.S_IFREG {
		s.current.Files++
		s.current.Bytes += st.size
	}
}

func (s *fileSystems) list() []FileSystem {
	var list []FileSystem
	for _, f := range s.found {
		list = append(list, *f)
	}
	return list
}

// isMountRoot reports whether something is mounted at an open directory. Kernels before Linux 5.8 can't tell; the
// directory's device has to do then, by which bind mounts don't show.
func isMountRoot(fd int, otherDevice bool) bool {
	var s unix.Statx_t
	err := retry(func() error { return unix.Statx(fd, "", unix.AT_EMPTY_PATH, 0, &s) })
	if err != nil || s.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return otherDevice
	}
	return s.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// isOwnFileSystem reports whether an open directory is the root of a file system that is mounted there, rather than a
// directory in one. A volume that is mounted into a pod shows which of the two it is: a bind mount of a directory has that
// directory as its root.
func isOwnFileSystem(fd int) bool {
	m, ok := mountOf(fd)
	return ok && m.root == "/" && isMountRoot(fd, false)
}
