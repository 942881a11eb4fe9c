// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMemoryIsTheCommandsOwn measures a small command from a big process.
func TestMemoryIsTheCommandsOwn(t *testing.T) {
	t.Setenv(commandVariable, "1")
	const big = 100 << 20
	ballast, err := unix.Mmap(-1, 0, big, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(ballast) }()
	small, err := measure(t.Context(), command{args: []string{"true"}}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if small.PeakBytes >= big/2 {
		t.Errorf("true(1) took %d bytes of memory", small.PeakBytes)
	}
	// What a child of the command takes counts: dd takes a block's size.
	child := shell("dd if=/dev/zero of=/dev/null bs=64M count=1; true")
	taken, err := measure(t.Context(), child, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if taken.PeakBytes < 64<<20 {
		t.Errorf("a child's 64 MiB count as %d bytes", taken.PeakBytes)
	}
}

func TestFailureOfAPipeIsAFailure(t *testing.T) {
	t.Setenv(commandVariable, "1")
	_, err := measure(t.Context(), shell("echo why >&2; false | true"), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("the error is %v, want one with what the command said", err)
	}
}

// idle is a candidate that does nothing, very quickly.
type idle struct{ tarZstd }

func (*idle) backup() command                     { return command{args: []string{"true"}} }
func (*idle) restore(string) command              { return command{args: []string{"true"}} }
func (i *idle) restoreOne(string, string) command { return i.restore("") }
func (*idle) newest() ([]string, error)           { return nil, nil }

// TestWhoDoesNothingCannotWin runs the steps of a candidate that does nothing.
func TestWhoDoesNothingCannotWin(t *testing.T) {
	t.Setenv(commandVariable, "1")
	dir := t.TempDir()
	r := &round{bench: &bench{plan: plan{filesystems: []string{plain}}, dir: dir, results: newResults()}, filesystem: plain}
	r.source = &volume{root: dir}
	r.data = newDataSet(filepath.Join(dir, "data"), 0.0005)
	if err := r.data.generate(t.Context()); err != nil {
		t.Fatal(err)
	}
	store := t.TempDir()
	c := &contestant{candidate: &idle{tarZstd{places: places{store: store}}}, short: "tar", volume: &volume{filesystem: plain, root: store}}
	r.contestants = []*contestant{c}
	if err := r.backup(t.Context(), c, first); err == nil || !strings.Contains(err.Error(), "0 backups after 1 runs") {
		t.Errorf("a backup that isn't there: %v", err)
	}
	if err := r.measureRestores(t.Context()); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("a restore that brings nothing: %v", err)
	}
}

func TestCompareFindsEveryDifference(t *testing.T) {
	root := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a", "one")
	write("b", "two")
	want := readTreeOf(t, root)
	if err := compare(want, readTreeOf(t, root)); err != nil {
		t.Errorf("equal trees: %v", err)
	}
	for name, change := range map[string]func(t tree){
		"missing": func(t tree) { delete(t, "a") },
		"more":    func(t tree) { t["c"] = t["a"] },
		"content": func(t tree) { n := t["a"]; n.sha256[0]++; t["a"] = n },
		"mode":    func(t tree) { n := t["a"]; n.mode++; t["a"] = n },
		"owner":   func(t tree) { n := t["a"]; n.uid++; t["a"] = n },
		"time":    func(t tree) { n := t["a"]; n.seconds++; t["a"] = n },
	} {
		got := readTreeOf(t, root)
		change(got)
		if compare(want, got) == nil {
			t.Errorf("%s: not found", name)
		}
	}
}

func TestWalkStopsAtTheFirstError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := warm(ctx, t.TempDir()); err == nil {
		t.Error("a stopped walk says that it was done")
	}
	if _, err := readTree(t.Context(), filepath.Join(t.TempDir(), "nothing")); err == nil {
		t.Error("a tree that isn't there was read")
	}
}
