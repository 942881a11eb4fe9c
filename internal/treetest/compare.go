// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package treetest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// Snapshot is all that can be known of a tree: for every path, relative to its root, what is there.
type Snapshot map[string]Facts

// Facts are what is known of one file. They hold nothing that a good copy may change: no inode, no ctime, no atime.
type Facts struct {
	Type    string
	Mode    string // octal, with setuid, setgid and sticky
	Owner   string // numbers
	ModTime string // with nanoseconds
	Size    int64  // of regular files
	SHA256  string // of regular files
	Target  string // of symbolic links
	Device  string // of device nodes
	Links   string // the names, in this tree, of a file that has several
	Xattrs  map[string]string
	Sparse  bool // it occupies less than its size
}

// Take makes a snapshot of the tree at root.
func Take(root string) (Snapshot, error) {
	s := Snapshot{}
	names := map[[2]uint64][]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return fmt.Errorf("stat %s: %w", path, err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
			id := [2]uint64{uint64(st.Dev), st.Ino}
			names[id] = append(names[id], rel)
		}
		s[rel], err = factsOf(path, &st)
		return err
	})
	for _, group := range names {
		for _, name := range group {
			f := s[name]
			f.Links = strings.Join(group, " ")
			s[name] = f
		}
	}
	return s, err
}

func factsOf(path string, st *unix.Stat_t) (Facts, error) {
	f := Facts{
		Type:    typeOf(st.Mode),
		Mode:    fmt.Sprintf("%04o", st.Mode&0o7777),
		Owner:   fmt.Sprintf("%d:%d", st.Uid, st.Gid),
		ModTime: fmt.Sprintf("%d.%09d", st.Mtim.Sec, st.Mtim.Nsec),
	}
	var err error
	switch f.Type {
	case "file":
		f.Size = st.Size
		f.Sparse = st.Blocks*512 < st.Size
		f.SHA256, err = hashOf(path)
	case "symlink":
		f.Target, err = os.Readlink(path)
	case "character device", "block device":
		f.Device = fmt.Sprintf("%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	}
	if err != nil {
		return f, err
	}
	f.Xattrs, err = xattrsOf(path)
	return f, err
}

func typeOf(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "symlink"
	case unix.S_IFIFO:
		return "fifo"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFCHR:
		return "character device"
	case unix.S_IFBLK:
		return "block device"
	}
	return "unknown"
}

// hashOf hashes a file's content, its holes without reading them: a sparse file may be terabytes long.
func hashOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	for at := int64(0); ; {
		start, err := f.Seek(at, unix.SEEK_DATA)
		if err != nil {
			break // ENXIO: no more data
		}
		end, err := f.Seek(start, unix.SEEK_HOLE)
		if err != nil {
			return "", err
		}
		if err := hashExtent(h, f, start, end); err != nil {
			return "", err
		}
		at = end
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// hashExtent hashes the blocks that aren't all zeros, with where they are, so that it doesn't matter whether zeros are
// a hole or not.
func hashExtent(h io.Writer, f *os.File, start, end int64) error {
	const block = 512
	buf := make([]byte, 1<<20)
	for at := start - start%block; at < end; at += int64(len(buf)) {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
		if err != nil && err != io.EOF {
			return err
		}
		for i := 0; i < n; i += block {
			b := buf[i:min(i+block, n)]
			if slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
				fmt.Fprintf(h, "%d:%d:", at+int64(i), len(b))
				_, _ = h.Write(b)
			}
		}
	}
	return nil
}

func xattrsOf(path string) (map[string]string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err != nil || n == 0 {
		if err == unix.ENOTSUP {
			err = nil
		}
		return nil, err
	}
	attrs := map[string]string{}
	for _, name := range strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, fmt.Errorf("get %s of %s: %w", name, path, err)
		}
		attrs[name] = string(value[:n])
	}
	return attrs, nil
}

// Difference describes how the tree at got differs from the one at want; empty if they are equal. Paths for which skip
// returns true, relative to the roots, are passed over; skip may be nil.
func Difference(want, got string, skip func(path string) bool) (string, error) {
	a, err := Take(want)
	if err != nil {
		return "", err
	}
	b, err := Take(got)
	if err != nil {
		return "", err
	}
	for _, s := range []Snapshot{a, b} {
		for path := range s {
			if skip != nil && skip(path) {
				delete(s, path)
			}
		}
	}
	return cmp.Diff(a, b), nil
}

// AssertEqual fails the test if the tree at got isn't equal to the one at want.
func AssertEqual(t testing.TB, want, got string) {
	t.Helper()
	AssertEqualBut(t, want, got, nil)
}

// AssertEqualBut does so, passing over paths for which skip returns true.
func AssertEqualBut(t testing.TB, want, got string, skip func(path string) bool) {
	t.Helper()
	diff, err := Difference(want, got, skip)
	if err != nil {
		t.Fatalf("compare trees: %v", err)
	}
	if diff != "" {
		t.Errorf("trees differ (-%s +%s):\n%s", want, got, diff)
	}
}
