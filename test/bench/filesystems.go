// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// plain is in the place of a file system's name: a directory where the working directory is, and no mount.
const plain = "plain"

// makers are the commands that make file systems, as they come.
var makers = map[string][]string{
	"xfs":   {"mkfs.xfs", "-q", "-f"},
	"btrfs": {"mkfs.btrfs", "-q", "-f"},
	"ext4":  {"mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"},
}

func knownFilesystem(name string) bool { return name == plain || makers[name] != nil }

// minVolume is a size that all file systems can have.
const minVolume = 1 << 30

// volume is an empty file system of its own, in a sparse image.
type volume struct {
	filesystem string
	image      string
	root       string
	empty      int64 // bytes that it occupied before anything was in it
}

// newVolume makes a volume of at most size bytes and mounts it at dir.
func newVolume(ctx context.Context, filesystem, dir string, size int64) (*volume, error) {
	v := &volume{filesystem: filesystem, image: dir + ".img", root: dir}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if filesystem != plain {
		if err := v.mount(ctx, max(size, minVolume)); err != nil {
			return nil, fmt.Errorf("make a file system of type %s: %w", filesystem, err)
		}
	}
	var err error
	v.empty, err = v.occupied()
	return v, err
}

func (v *volume) mount(ctx context.Context, size int64) error {
	if err := os.WriteFile(v.image, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(v.image, size); err != nil {
		return err
	}
	device, err := attachLoop(v.image)
	if err != nil {
		return err
	}
	defer device.Close()
	// Made on the device and not in the image, it has the device's sectors.
	if _, err := (command{args: append(slices.Clone(makers[v.filesystem]), device.Name())}).output(ctx); err != nil {
		return err
	}
	if err := unix.Mount(device.Name(), v.root, v.filesystem, unix.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("mount %s: %w", device.Name(), err)
	}
	// What mkfs left is nothing that a candidate should find.
	entries, err := os.ReadDir(v.root)
	for _, e := range entries {
		err = os.RemoveAll(filepath.Join(v.root, e.Name()))
	}
	return err
}

// occupied is how many bytes of the disk are in use, once all is on it.
func (v *volume) occupied() (int64, error) {
	if v.filesystem == plain {
		return sizeOf(v.root)
	}
	root, err := os.Open(v.root)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	if err := unix.Syncfs(int(root.Fd())); err != nil {
		return 0, fmt.Errorf("flush %s: %w", v.root, err)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(root.Fd()), &st); err != nil {
		return 0, fmt.Errorf("ask %s for its space: %w", v.root, err)
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize, nil
}

// used is how many bytes of the disk are occupied by what was put there.
func (v *volume) used() (int64, error) {
	now, err := v.occupied()
	return now - v.empty, err
}

// remove removes the volume with all that is in it.
func (v *volume) remove() error {
	if v.filesystem != plain {
		if err := unix.Unmount(v.root, 0); err != nil {
			return fmt.Errorf("unmount %s: %w", v.root, err)
		}
		if err := os.Remove(v.image); err != nil {
			return err
		}
	}
	return os.RemoveAll(v.root)
}

// sizeOf is the size of the files in a directory, for want of a file system of its own.
func sizeOf(dir string) (int64, error) {
	total := int64(0)
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
