// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
)

// borg compresses as tar does here, and doesn't encrypt, which is its quickest.
type borg struct {
	places
	made int
}

func (b *borg) name() string { return "borg (zstd,3)" }

func (b *borg) version(ctx context.Context) (string, error) {
	return firstLine(ctx, "borg", "--version")
}

func (b *borg) repository() string { return b.store + "/repository" }

func (b *borg) archive() string { return fmt.Sprintf("%s::day-%02d", b.repository(), b.made) }

func (b *borg) command(dir string, args ...string) command {
	return command{args: append([]string{"borg"}, args...), dir: dir, env: []string{
		"BORG_BASE_DIR=" + b.cache, "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes"}}
}

func (b *borg) prepare(ctx context.Context) error {
	_, err := b.command(b.store, "init", "--encryption", "none", b.repository()).output(ctx)
	return err
}

func (b *borg) backup() command {
	b.made++
	return b.command(b.source, "create", "--compression", "zstd,3", b.archive(), ".")
}

func (b *borg) restore(target string) command { return b.command(target, "extract", b.archive()) }

func (b *borg) restoreOne(target, path string) command {
	return b.command(target, "extract", b.archive(), path)
}

func (b *borg) verify() command {
	return b.command(b.store, "check", "--verify-data", b.repository())
}

func (b *borg) newest() ([]string, error) { return []string{b.store, b.cache}, nil }

func (b *borg) backups(ctx context.Context) (int, error) {
	out, err := b.command(b.store, "list", "--json", b.repository()).output(ctx)
	if err != nil {
		return 0, err
	}
	var list struct{ Archives []struct{} }
	err = json.Unmarshal([]byte(out), &list)
	return len(list.Archives), err
}
