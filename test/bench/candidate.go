// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// candidate is one way of making backups and getting them back.
type candidate interface {
	// name is what the tables call it.
	name() string
	// version asks the program which it is.
	version(ctx context.Context) (string, error)
	// prepare makes an empty repository where that takes a command. It is not measured.
	prepare(ctx context.Context) error
	// backup is a backup of all that is in the source.
	backup() command
	// restore brings the whole of the newest backup back into an empty directory.
	restore(target string) command
	// restoreOne brings one file of the newest backup back into an empty directory; path is relative to the source.
	restoreOne(target, path string) command
	// verify checks the newest backup, or whatever more the program always checks. No arguments: it can't.
	verify() command
	// newest is what holds the newest backup: files or directories that are read to restore it.
	newest() ([]string, error)
}

// historian is a candidate that keeps more than one backup.
type historian interface {
	candidate
	// backups counts the backups that are there.
	backups(ctx context.Context) (int, error)
}

// places are the directories of one candidate.
type places struct {
	source string // what is backed up, the same for all
	store  string // a file system of its own, empty at first, for the backups and nothing else
	cache  string // for what it wants to remember elsewhere
	keep   int    // how many backups this project's program keeps, on which the share of them depends that it checks
}

// command is a command line.
type command struct {
	args []string
	dir  string   // in which it runs
	env  []string // besides the environment
}

// shell is a command line for the shell, with arguments for $1 and so on. It fails when any part of a pipe does.
func shell(script string, args ...string) command {
	return command{args: slices.Concat([]string{"bash", "-euo", "pipefail", "-c", script, "bash"}, args)}
}

// output runs a command that is not measured and returns what it says.
func (c command) output(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(c.args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// firstLine is the first line of what a program says, mostly of its version.
func firstLine(ctx context.Context, args ...string) (string, error) {
	out, err := command{args: args}.output(ctx)
	line, _, _ := strings.Cut(out, "\n")
	return strings.TrimSpace(line), err
}

// newCandidate makes the candidate of a short name, as -only has it.
func newCandidate(short, program string, p places) candidate {
	switch short {
	case "ours":
		return &operator{program: program, places: p}
	case "tar":
		return &tarZstd{places: p}
	case "restic":
		return &restic{places: p}
	case "borg":
		return &borg{places: p}
	case "rsync":
		return &mirror{places: p}
	}
	panic("no candidate " + short)
}

// candidates are the short names, in the order in which they run.
var candidates = []string{"tar", "ours", "restic", "borg", "rsync"}

// archives are the files in a directory that end so, sorted by name, which is by time.
func archives(dir, suffix string) ([]string, error) {
	return filepath.Glob(filepath.Join(dir, "*"+suffix))
}

// last is the newest of the archives.
func last(dir, suffix string) ([]string, error) {
	all, err := archives(dir, suffix)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("no backup in %s", dir)
	}
	if err != nil {
		return nil, err
	}
	return all[len(all)-1:], nil
}
