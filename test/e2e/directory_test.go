// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// archiveName is the name of an archive as the design says it: prefix, UTC time, suffix.
var archiveName = regexp.MustCompile(`^(.+)-\d{8}T\d{6}Z\.tar\.zst$`)

// archivesIn are the names of the archives with the prefix in a directory, oldest first. Of each, sha256sum must find what
// tar restores to be what its sidecar says. A directory that isn't there holds none.
func archivesIn(t *testing.T, dir, prefix string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	names := []string{}
	for _, entry := range entries {
		if parts := archiveName.FindStringSubmatch(entry.Name()); parts != nil && parts[1] == prefix {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	for _, name := range names {
		checkSidecar(t, filepath.Join(dir, name))
	}
	return names
}

// checkSidecar restores an archive with tar and has sha256sum check what came of it.
func checkSidecar(t *testing.T, archive string) {
	t.Helper()
	restored, err := os.MkdirTemp("", "restored")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(restored)
	command(t, "sh", "-c", `cd "$0" && tar --zstd -xf "$1" && sha256sum --check --strict --quiet "$1.sha256"`, restored, archive)
}

// only is the one archive in a directory.
func only(t *testing.T, dir, prefix string) string {
	t.Helper()
	names := archivesIn(t, dir, prefix)
	if len(names) != 1 {
		t.Fatalf("%s holds %v, want one archive", dir, names)
	}
	return filepath.Join(dir, names[0])
}

// entriesOf are the names in an archive, as tar lists them.
func entriesOf(t *testing.T, archive string) []string {
	t.Helper()
	return strings.Fields(command(t, "tar", "--zstd", "-tf", archive))
}

// restore restores an archive with nothing but tar.
func restore(t *testing.T, archive string) string {
	t.Helper()
	target := t.TempDir()
	command(t, "tar", "--zstd", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "-xpf", archive, "-C", target)
	return target
}

// visible are the names in a directory but for hidden ones.
func visible(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	return names
}

// wantSame holds one list against another.
func wantSame(t *testing.T, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", what, diff)
	}
}

// partials are files in a directory that are not done.
func partials(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, ".*.partial"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(found, func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.IsDir() && len(mustReadDir(t, path)) == 0
	})
}

func mustReadDir(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}
