// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package treetest makes directory trees from literals and compares trees down to the last bit of metadata, for the
// tests of everything that copies trees.
//
//	treetest.Build(t, root, treetest.Dir{Entries: treetest.Entries{
//		"etc":  treetest.Dir{Entries: treetest.Entries{"motd": treetest.File{Content: "hello\n"}}},
//		"link": treetest.Symlink{Target: "etc/motd"},
//	}})
//	… back up root, restore to other …
//	treetest.AssertEqual(t, root, other)
//
// Building needs setfacl(1) where there are ACLs, and root for owners and devices.
package treetest

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Meta is what all nodes may have. Zero values leave what the system gives.
type Meta struct {
	// Mode is permissions with setuid (0o4000), setgid (0o2000) and sticky (0o1000).
	Mode uint32
	// UID and GID are set if either isn't 0, which takes root.
	UID, GID int
	// ModTime is the modification time.
	ModTime time.Time
	// Xattrs are extended attributes with their full names.
	Xattrs map[string]string
	// ACL is given to setfacl -m, for example "u:1234:rw,d:g:77:r".
	ACL string
}

// Node is something in a directory.
type Node interface {
	create(path string) error
	meta() Meta
}

// Entries are the nodes in a directory by their names.
type Entries map[string]Node

// Dir is a directory.
type Dir struct {
	Meta
	Entries Entries
}

// File is a regular file.
type File struct {
	Meta
	Content string
}

// Sparse is a regular file with holes wherever Data doesn't say otherwise.
type Sparse struct {
	Meta
	Size int64
	Data map[int64]string // by offset
}

// Symlink is a symbolic link. Its Mode, Xattrs and ACL are not used.
type Symlink struct {
	Meta
	Target string
}

// HardLink is a further name of the file To, relative to the tree's root, which must sort before it.
type HardLink struct{ To string }

// FIFO is a named pipe.
type FIFO struct{ Meta }

// Socket is a Unix socket that nobody listens on.
type Socket struct{ Meta }

// Device is a device node. Making one takes root.
type Device struct {
	Meta
	Block        bool
	Major, Minor uint32
}

func (m Meta) meta() Meta { return m }

func (h HardLink) meta() Meta { return Meta{} }

func (d Dir) create(path string) error { return os.MkdirAll(path, 0o755) }

func (f File) create(path string) error { return os.WriteFile(path, []byte(f.Content), 0o644) }

func (s Symlink) create(path string) error { return os.Symlink(s.Target, path) }

func (FIFO) create(path string) error { return unix.Mkfifo(path, 0o644) }

func (h HardLink) create(path string) error {
	return fmt.Errorf("hard link %s must be made by Build", path)
}

func (d Device) create(path string) error {
	kind := uint32(unix.S_IFCHR)
	if d.Block {
		kind = unix.S_IFBLK
	}
	return unix.Mknod(path, kind|0o644, int(unix.Mkdev(d.Major, d.Minor)))
}

func (s Sparse) create(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for offset, data := range s.Data {
		if _, err := f.WriteAt([]byte(data), offset); err != nil {
			return err
		}
	}
	return f.Truncate(s.Size)
}

func (Socket) create(path string) error {
	// A path in a socket's address has a limit of about 100 bytes, so it is made under a short one.
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	short := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		return err
	}
	return os.Rename(short, path)
}

// Build makes the tree at root, which may exist as an empty directory.
func Build(t testing.TB, root string, tree Dir) {
	t.Helper()
	if err := build(root, root, tree); err != nil {
		t.Fatalf("build tree: %v", err)
	}
}

func build(root, path string, node Node) error {
	if link, ok := node.(HardLink); ok {
		return os.Link(filepath.Join(root, link.To), path)
	}
	if err := node.create(path); err != nil {
		return err
	}
	if dir, ok := node.(Dir); ok {
		for _, name := range slices.Sorted(maps.Keys(dir.Entries)) {
			// Not filepath.Join: names are to be taken as they are.
			if err := build(root, path+"/"+name, dir.Entries[name]); err != nil {
				return err
			}
		}
	}
	return apply(path, node)
}

// apply sets metadata, in an order in which nothing undoes what came before.
func apply(path string, node Node) error {
	m := node.meta()
	_, isLink := node.(Symlink)
	if m.UID != 0 || m.GID != 0 {
		if err := os.Lchown(path, m.UID, m.GID); err != nil {
			return err
		}
	}
	if m.Mode != 0 && !isLink {
		if err := unix.Chmod(path, m.Mode); err != nil {
			return fmt.Errorf("chmod %s: %w", path, err)
		}
	}
	for name, value := range m.Xattrs {
		if err := unix.Lsetxattr(path, name, []byte(value), 0); err != nil {
			return fmt.Errorf("set %s of %s: %w", name, path, err)
		}
	}
	if m.ACL != "" {
		if out, err := exec.Command("setfacl", "-m", m.ACL, path).CombinedOutput(); err != nil {
			return fmt.Errorf("setfacl %s: %w: %s", path, err, out)
		}
	}
	if m.ModTime.IsZero() {
		return nil
	}
	return SetModTime(path, m.ModTime)
}

// SetModTime sets the modification time of a file or of a symbolic link itself.
func SetModTime(path string, at time.Time) error {
	ts := unix.NsecToTimespec(at.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}
