// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strconv"
)

// operator is this project's program, as its user runs it.
type operator struct {
	places
	program string
}

func (o *operator) name() string { return "backup-operator" }

func (o *operator) version(ctx context.Context) (string, error) {
	return firstLine(ctx, o.program, "version")
}

func (o *operator) prepare(context.Context) error { return nil }

func (o *operator) backup() command {
	return command{args: []string{o.program, "backup", "--policy", "bench/bench", "--source", "data=" + o.source,
		"--directory", o.store, "--prefix", "bench", "--keep", strconv.Itoa(o.keep)}}
}

func (o *operator) restore(target string) command {
	return command{args: []string{o.program, "restore", "--directory", o.store, "--target", "data=" + target}}
}

func (o *operator) restoreOne(target, path string) command {
	c := o.restore(target)
	c.args = append(c.args, "--include", "data/"+path)
	return c
}

func (o *operator) verify() command {
	return command{args: []string{o.program, "verify", "--directory", o.store}}
}

func (o *operator) newest() ([]string, error) { return last(o.store, ".tar.zst") }

func (o *operator) backups(context.Context) (int, error) {
	all, err := archives(o.store, ".tar.zst")
	return len(all), err
}
