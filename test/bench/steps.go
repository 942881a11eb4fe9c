// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// take measures a command with all that it reads in the page cache, and keeps the sample.
func (r *round) take(ctx context.Context, c *contestant, s step, cmd command, writesTo string, reads ...string) error {
	if err := warm(ctx, reads...); err != nil {
		return fmt.Errorf("read what it is going to read: %w", err)
	}
	taken, err := measure(ctx, cmd, writesTo)
	if err != nil {
		return err
	}
	k := key{r.filesystem, c.short, s}
	r.results.samples[k] = append(r.results.samples[k], taken)
	return nil
}

// backup measures a backup and checks that there is one more after it.
func (r *round) backup(ctx context.Context, c *contestant, s step) error {
	reads := []string{r.data.root}
	if c.made > 0 {
		newest, err := c.newest()
		if err != nil {
			return err
		}
		reads = append(newest, reads...)
	}
	if err := r.take(ctx, c, s, c.candidate.backup(), c.volume.root, reads...); err != nil {
		return err
	}
	c.made++
	if h, ok := c.candidate.(historian); ok {
		switch n, err := h.backups(ctx); {
		case err != nil:
			return err
		case n != c.made:
			return fmt.Errorf("there are %d backups after %d runs", n, c.made)
		}
	}
	return nil
}

// backupUnchanged measures a backup, and the space that it takes: it is not one of the seven daily ones.
func (r *round) backupUnchanged(ctx context.Context, c *contestant, s step) error {
	before, err := c.volume.used()
	if err != nil {
		return err
	}
	if err := r.backup(ctx, c, s); err != nil {
		return err
	}
	after, err := c.volume.used()
	c.growth = after - before
	return err
}

func (r *round) measureSpace(_ context.Context, c *contestant, s step) error {
	used, err := c.volume.used()
	if err != nil {
		return err
	}
	k := key{r.filesystem, c.short, s}
	r.results.space[k] = append(r.results.space[k], used-c.growth)
	return nil
}

// measureRestores measures restores and holds what was restored against the source.
func (r *round) measureRestores(ctx context.Context) error {
	if !r.anyRuns(restore) && !r.anyRuns(one) {
		return nil
	}
	want, err := readTree(ctx, r.data.root)
	if err != nil {
		return fmt.Errorf("read the source: %w", err)
	}
	err = r.each(ctx, restore, func(ctx context.Context, c *contestant, s step) error {
		return r.measureRestore(ctx, c, s, c.restore, want)
	})
	if err != nil {
		return err
	}
	path := r.data.probe()
	return r.each(ctx, one, func(ctx context.Context, c *contestant, s step) error {
		restoreOne := func(target string) command { return c.restoreOne(target, path) }
		return r.measureRestore(ctx, c, s, restoreOne, tree{path: want[path]})
	})
}

// measureRestore measures one command and compares the files that it brings. Directories on the way to a single file
// are nobody's wish.
func (r *round) measureRestore(
	ctx context.Context, c *contestant, s step, restoring func(target string) command, want tree,
) error {
	target := filepath.Join(r.source.root, "restored")
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	reads, err := c.newest()
	if err != nil {
		return err
	}
	if err := r.take(ctx, c, s, restoring(target), target, reads...); err != nil {
		return err
	}
	got, err := readTree(ctx, target)
	if err != nil {
		return fmt.Errorf("read what was restored: %w", err)
	}
	if s == one {
		got = got.files()
	}
	if err := compare(want, got); err != nil {
		return err
	}
	return os.RemoveAll(target)
}

func (r *round) measureVerify(ctx context.Context, c *contestant, s step) error {
	cmd := c.candidate.verify()
	if len(cmd.args) == 0 {
		return nil
	}
	reads, err := c.newest()
	if err != nil {
		return err
	}
	return r.take(ctx, c, s, cmd, c.volume.root, reads...)
}
