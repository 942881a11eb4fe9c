// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// filesPerDirectory is how many files are in each directory of a tree of many files.
const filesPerDirectory = 1000

// benchMany shows what a tree of many files costs in memory, to a first backup and to one that reuses it.
func benchMany(ctx context.Context, w io.Writer, dir, program string, o options) (err error) {
	// Empty files take an inode each, of up to half a KiB, and their names.
	v, err := newVolume(ctx, o.filesystems[0], filepath.Join(dir, "volume"), int64(o.files)*(4<<10))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.remove()) }()
	data := filepath.Join(v.root, "data")
	logf("making %d files", o.files)
	if err := makeMany(ctx, data, o.files); err != nil {
		return err
	}
	p := places{source: data, store: filepath.Join(v.root, "backups"), cache: dir, keep: o.keep}
	if err := os.Mkdir(p.store, 0o755); err != nil {
		return err
	}
	c := newCandidate("ours", program, p)
	fmt.Fprintf(w, "Backups of %d empty files in directories of %d, on %s.\n\n",
		o.files, filesPerDirectory, filesystemNames[o.filesystems[0]])
	printHead(w, "", "wall s", "CPU s", "peak MiB")
	for _, s := range []step{first, unchanged} {
		if err := settle(ctx, o.margin); err != nil {
			return err
		}
		logf("%s backup", s)
		taken, err := measure(ctx, c.backup(), p.store)
		if err != nil {
			return err
		}
		printRow(w, string(s), fmt.Sprintf("%.2f", taken.Seconds), fmt.Sprintf("%.2f", taken.CPUSeconds),
			fmt.Sprint(taken.PeakBytes>>20))
	}
	return nil
}

func makeMany(ctx context.Context, data string, files int) error {
	for i := range files {
		parent := filepath.Join(data, fmt.Sprintf("%05d", i/filesPerDirectory))
		if i%filesPerDirectory == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := os.MkdirAll(parent, 0o755); err != nil {
				return err
			}
		}
		name := filepath.Join(parent, fmt.Sprintf("file-%08d", i))
		if err := unix.Mknod(name, unix.S_IFREG|0o644, 0); err != nil {
			return fmt.Errorf("make %s: %w", name, err)
		}
	}
	return nil
}
