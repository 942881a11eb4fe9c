// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"path/filepath"
)

// mirror is rsync: a copy of the newest state, not compressed and without a history. It can't tell whether it is whole.
type mirror struct{ places }

func (m *mirror) name() string { return "rsync -a (mirror)" }

func (m *mirror) version(ctx context.Context) (string, error) {
	return firstLine(ctx, "rsync", "--version")
}

func (m *mirror) prepare(context.Context) error { return nil }

func (m *mirror) copy() string { return filepath.Join(m.store, "mirror") }

func (m *mirror) backup() command {
	return command{args: []string{"rsync", "-a", "--delete", m.source + "/", m.copy() + "/"}}
}

func (m *mirror) restore(target string) command {
	return command{args: []string{"rsync", "-a", m.copy() + "/", target + "/"}}
}

func (m *mirror) restoreOne(target, path string) command {
	return command{args: []string{"rsync", "-a", "--relative", m.copy() + "/./" + path, target + "/"}}
}

func (m *mirror) verify() command { return command{} }

func (m *mirror) newest() ([]string, error) { return []string{m.copy()}, nil }
