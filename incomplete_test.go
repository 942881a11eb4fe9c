// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/report"
)

// incompleteBackup is a directory of one backup, in which data/big is cut off and data/link is a further name of it.
func incompleteBackup(t *testing.T) (directory, name string) {
	t.Helper()
	source, directory := t.TempDir(), t.TempDir()
	big := filepath.Join(source, "big")
	if err := errors.Join(os.WriteFile(big, bytes.Repeat([]byte("content\n"), 4<<20), 0o600),
		os.Link(big, filepath.Join(source, "link")), os.WriteFile(filepath.Join(source, "whole"), []byte("whole"), 0o600)); err != nil {
		t.Fatal(err)
	}
	name = "app-20260101T000000Z.tar.zst"
	f, err := os.Create(filepath.Join(directory, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cut := false
	list, err := os.Create(filepath.Join(directory, name+".sha256"))
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	opts := archive.Options{Concurrency: 1, Checksums: list, Progress: func(archive.Progress) {
		if !cut {
			cut = true
			if err := os.Truncate(big, 20<<20); err != nil {
				t.Error(err)
			}
		}
	}}
	result, err := archive.Write(t.Context(), f, []archive.Source{{Name: "data", Path: source}}, opts)
	if err != nil || result.Summary.Complete {
		t.Fatalf("%+v, %v", result.Summary, err)
	}
	return directory, name
}

// command runs a command of this program.
func command(t *testing.T, args ...string) (exit exitStatus, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	// Of this name, the test program is this program. In this process, the command would lower its priority for good.
	cmd.Args[0] = "backup-operator"
	cmd.Stdout, cmd.Stderr = &out, &errOut
	var failed *exec.ExitError
	if err := cmd.Run(); errors.As(err, &failed) {
		exit = exitStatus(failed.ExitCode())
	} else if err != nil {
		t.Fatal(err)
	}
	return exit, out.String(), errOut.String()
}

// TestFilesKnownToBeBrokenShowEverywhere: where backups are listed, checked and restored.
func TestFilesKnownToBeBrokenShowEverywhere(t *testing.T) {
	directory, name := incompleteBackup(t)
	expect := func(want exitStatus, args []string, texts ...string) {
		t.Helper()
		exit, out, errOut := command(t, append(args, "--directory", directory)...)
		if exit != want {
			t.Errorf("%q: exit status %d, want %d\n%s%s", args, exit, want, out, errOut)
		}
		for _, text := range texts {
			if !strings.Contains(out, text) {
				t.Errorf("%q: no %q in\n%s", args, text, out)
			}
		}
	}
	expect(report.ExitIncomplete, []string{"verify", "--backup", name}, "incomplete: data/big ", "incomplete: data/link ", ": INCOMPLETE")
	expect(report.ExitIncomplete, []string{"verify", "--backup", "all", "-o", "json"},
		`"good":true`, `"complete":false`, `"incomplete":[{"path":"data/big"},{"path":"data/link"}]`)
	expect(0, []string{"list"}, "Incomplete")
	expect(0, []string{"list", "-o", "json"}, `"incompleteFiles": 1`)
	expect(0, []string{"list", "--long", name}, " data/big  (incomplete", " data/link link to data/big  (incomplete")
	expect(0, []string{"list", "--long", name, "-o", "json", "--include", "data/link"}, `"incomplete":true`)

	target := t.TempDir()
	expect(report.ExitIncomplete, []string{"restore", "--backup", name, "--target", target})
	expect(report.ExitIncomplete, []string{"restore", "--backup", name, "--target", target, "--include", "data/big"})
	expect(report.ExitSucceeded, []string{"restore", "--backup", name, "--target", target, "--include", "data/whole"})
	good := filepath.Join(target, "data", "big")
	if err := os.WriteFile(good, []byte("good"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(report.ExitIncomplete, []string{"restore", "--backup", name, "--target", target, "--overwrite"})
	if content, err := os.ReadFile(good); err != nil || string(content) != "good" {
		t.Errorf("a good file was replaced: %d bytes, %v", len(content), err)
	}
	expect(report.ExitIncomplete, []string{"restore", "--backup", name, "--target", target, "--overwrite-with-incomplete"})
	if st, err := os.Stat(good); err != nil || st.Size() != 32<<20 {
		t.Errorf("it was not replaced when asked for: %v, %v", st, err)
	}
}
