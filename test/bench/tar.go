// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// tarZstd is GNU tar with zstd on all cores, an archive a day.
type tarZstd struct {
	places
	made int
}

func (t *tarZstd) name() string { return "tar \\| zstd -T0 -3" }

func (t *tarZstd) version(ctx context.Context) (string, error) {
	tar, err := firstLine(ctx, "tar", "--version")
	if err != nil {
		return "", err
	}
	zstd, err := firstLine(ctx, "zstd", "--version")
	return tar + " and " + strings.Trim(zstd, "* "), err
}

func (t *tarZstd) prepare(context.Context) error { return nil }

func (t *tarZstd) backup() command {
	t.made++
	return shell(`tar -C "$1" -cf - . | zstd -q -T0 -3 -o "$2"`, t.source, t.archive())
}

func (t *tarZstd) archive() string {
	return filepath.Join(t.store, fmt.Sprintf("day-%02d.tar.zst", t.made))
}

func (t *tarZstd) restore(target string) command {
	return command{args: []string{"tar", "--zstd", "-C", target, "-xf", t.archive()}}
}

func (t *tarZstd) restoreOne(target, path string) command {
	c := t.restore(target)
	c.args = append(c.args, "./"+path)
	return c
}

func (t *tarZstd) verify() command { return command{args: []string{"zstd", "-q", "-t", t.archive()}} }

func (t *tarZstd) newest() ([]string, error) { return last(t.store, ".tar.zst") }

func (t *tarZstd) backups(context.Context) (int, error) {
	all, err := archives(t.store, ".tar.zst")
	return len(all), err
}
