// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
)

// restic encrypts always; the rest is as it comes.
type restic struct{ places }

func (r *restic) name() string { return "restic" }

func (r *restic) version(ctx context.Context) (string, error) {
	return firstLine(ctx, "restic", "version")
}

// command runs in the source, so that paths in the backup begin there.
func (r *restic) command(args ...string) command {
	return command{args: append([]string{"restic", "--quiet"}, args...), dir: r.source, env: []string{
		"RESTIC_REPOSITORY=" + r.store + "/repository", "RESTIC_PASSWORD=bench", "RESTIC_CACHE_DIR=" + r.cache}}
}

func (r *restic) prepare(ctx context.Context) error {
	_, err := r.command("init", "--repository-version", "2").output(ctx)
	return err
}

func (r *restic) backup() command { return r.command("backup", ".") }

func (r *restic) restore(target string) command {
	return r.command("restore", "latest", "--target", target)
}

func (r *restic) restoreOne(target, path string) command {
	return r.command("restore", "latest", "--target", target, "--include", "/"+path)
}

func (r *restic) verify() command { return r.command("check", "--read-data") }

func (r *restic) newest() ([]string, error) { return []string{r.store, r.cache}, nil }

func (r *restic) backups(ctx context.Context) (int, error) {
	out, err := r.command("snapshots", "--json").output(ctx)
	if err != nil {
		return 0, err
	}
	var snapshots []struct{}
	err = json.Unmarshal([]byte(out), &snapshots)
	return len(snapshots), err
}
