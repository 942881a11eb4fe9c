// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/treetest"
)

// modes is a directory that holds a file, and one over several frames, of each combination of the owner's rights, with an
// attribute, which takes the right to write. Its own mode is given.
func modes(mode uint32) dir {
	d := dir{Meta: meta{Mode: mode, ModTime: time.Unix(1_400_000_000, 5)}, Entries: entries{
		"pipe": treetest.FIFO{Meta: meta{Mode: 0o001}}, "link": treetest.Symlink{Target: "x"},
		"null": treetest.Device{Major: 1, Minor: 3},
	}}
	for bits := range uint32(8) {
		m := meta{Mode: 0o1000 | bits<<6 | (7 - bits), Xattrs: map[string]string{"user.x": "1"}, ACL: "u:1234:r"}
		d.Entries[fmt.Sprintf("small%d", bits)] = file{Content: "small", Meta: m}
		d.Entries[fmt.Sprintf("big%d", bits)] = file{Content: random(1200<<10, 1), Meta: m}
		d.Entries[fmt.Sprintf("sparse%d", bits)] = treetest.Sparse{Size: 300 << 10, Data: map[int64]string{200 << 10: "x"}, Meta: m}
		d.Entries[fmt.Sprintf("dir%d", bits)] = dir{Meta: meta{Mode: bits<<6 | 7, Xattrs: m.Xattrs}, Entries: entries{"f": file{Content: "f"}}}
	}
	return d
}

// TestASecondRestoreComesToTheSameEnd restores twice as a user who owns everything then and may not read, write or enter
// all of it.
func TestASecondRestoreComesToTheSameEnd(t *testing.T) {
	if !isRoot {
		t.Skip("takes root to become somebody else, and to look at what came out")
	}
	tree := dir{Meta: meta{Mode: 0o755}, Entries: entries{}}
	for bits := range uint32(8) {
		tree.Entries[fmt.Sprintf("in%d", bits)] = modes(bits<<6 | 7)
		// It sorts after the directory that its first name is in.
		tree.Entries[fmt.Sprintf("out%d", bits)] = treetest.HardLink{To: fmt.Sprintf("in%d/small0", bits)}
	}
	b := backedUp(t, tree)
	archivePath, target := forAnotherUser(t, b)
	kept := regexp.MustCompile(`Kept:\d+`)
	var results [3]string
	for i := range results {
		out := runAs(t, 65534, "RESTORE_TEST_ARCHIVE="+archivePath, "RESTORE_TEST_TARGET="+target)
		lines := strings.Split(kept.ReplaceAllString(out, "Kept"), "\n")
		slices.Sort(lines)
		results[i] = strings.Join(lines, "\n")
		if t.Failed() || results[i] != results[0] {
			t.Errorf("restore %d says\n%s\nand the first said\n%s", i+1, out, results[0])
		}
		assertSameModes(t, b.root, target)
	}
	s := b.archive.Info().Summary
	if want := fmt.Sprintf("{Files:%d Directories:%d Symlinks:%d HardLinks:%d Specials:8 ", s.Files, s.Directories, s.Symlinks,
		s.HardLinks); !regexp.MustCompile(regexp.QuoteMeta(want)).MatchString(results[0]) {
		t.Errorf("not %s:\n%s", want, results[0])
	}
}

// assertSameModes compares trees but for owners and devices.
func assertSameModes(t *testing.T, source, target string) {
	t.Helper()
	want, err := treetest.Take(source)
	if err != nil {
		t.Fatal(err)
	}
	got, err := treetest.Take(target)
	if err != nil {
		t.Fatal(err)
	}
	for path, w := range want {
		g := got[path]
		if filepath.Base(path) != "null" && (g.Mode != w.Mode || g.SHA256 != w.SHA256 || g.ModTime != w.ModTime ||
			g.Links != w.Links || g.Xattrs["user.x"] != w.Xattrs["user.x"]) {
			t.Errorf("%q is %+v, want %+v", path, g, w)
		}
	}
}

// A file that is looked at and left alone keeps the mode that it has.
func TestAFileThatDiffersKeepsItsMode(t *testing.T) {
	if !isRoot {
		t.Skip("takes root to become somebody else")
	}
	old := time.Unix(1_400_000_000, 0)
	b := backedUp(t, dir{Meta: meta{Mode: 0o755}, Entries: entries{
		"small": file{Content: "small", Meta: meta{ModTime: old}},
		"big":   file{Content: random(1200<<10, 1), Meta: meta{ModTime: old}},
	}})
	archivePath, target := forAnotherUser(t, b)
	treetest.Build(t, target, dir{Meta: meta{UID: 65534, GID: 65534}, Entries: entries{
		"small": file{Content: "other", Meta: meta{Mode: 0o001, ModTime: old, UID: 65534, GID: 65534}},
		"big":   file{Content: random(1200<<10, 2), Meta: meta{Mode: 0o002, ModTime: old, UID: 65534, GID: 65534}},
	}})
	runAs(t, 65534, "RESTORE_TEST_ARCHIVE="+archivePath, "RESTORE_TEST_TARGET="+target)
	got, err := treetest.Take(target)
	if err != nil {
		t.Fatal(err)
	}
	if got["small"].Mode != "0001" || got["big"].Mode != "0002" {
		t.Errorf("small is %+v, big is %+v", got["small"], got["big"])
	}
}

// forAnotherUser gives the paths of a copy of an archive and of a target that somebody else may use.
func forAnotherUser(t *testing.T, b backup) (archivePath, target string) {
	t.Helper()
	place, err := os.MkdirTemp("", "restore")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(place) })
	copied, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	archivePath, target = filepath.Join(place, "archive"), filepath.Join(place, "t")
	if err := errors.Join(os.WriteFile(archivePath, copied, 0o644), os.Chown(place, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	return archivePath, target
}
