// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

// walk calls a function for all paths below root, and for root itself, on all cores at once.
func walk(ctx context.Context, root string, visit func(path string, e fs.DirEntry) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type visited struct {
		path  string
		entry fs.DirEntry
	}
	queue := make(chan visited, 1024)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for v := range queue {
				if ctx.Err() != nil {
					continue
				}
				if err := visit(v.path, v.entry); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		queue <- visited{path, e}
		return ctx.Err()
	})
	close(queue)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// warm reads all files at the paths once, so that every candidate finds in the page cache what it is going to read.
func warm(ctx context.Context, paths ...string) error {
	for _, path := range paths {
		err := walk(ctx, path, func(path string, e fs.DirEntry) error {
			if !e.Type().IsRegular() {
				return nil
			}
			return readTo(io.Discard, path)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readTo reads a file to its end by ordinary reads, which leave it in the page cache.
func readTo(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{f}, make([]byte, 256<<10))
	return err
}
