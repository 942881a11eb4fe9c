// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// filesPerDirectory is how many files are in each directory of a tree of many files.
const filesPerDirectory = 1000

// benchMany shows what a tree of many files costs in memory: the files are as small as can be.
func benchMany(ctx context.Context, dir, self string, files int) error {
	fmt.Fprintf(os.Stderr, "bench: making %d files\n", files)
	data := filepath.Join(dir, "many")
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
	c := &candidate{name: "archive.Write", output: filepath.Join(dir, "write")}
	c.command = []string{self, "write", data, filepath.Join(c.output, "data.tar.zst")}
	if err := c.run(ctx); err != nil {
		return err
	}
	fmt.Printf("First backup of %d empty files in directories of %d:\n\n", files, filesPerDirectory)
	printTable(os.Stdout, []*candidate{c})
	return nil
}
