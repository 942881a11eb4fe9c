// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
)

// altered restores a tree and changes a byte of one file in the target, whose size and time stay as they were.
func altered(t *testing.T, tree dir, path string, opts Options) (backup, string) {
	t.Helper()
	b := backedUp(t, tree)
	target := opts.Targets["data"]
	mustRestore(t, b.archive, opts)
	path = filepath.Join(target, path)
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("other"), st.Size()-5)
	if err := errors.Join(err, f.Close(), treetest.SetModTime(path, st.ModTime())); err != nil {
		t.Fatal(err)
	}
	return b, target
}

func linked(content string) dir {
	return dir{Entries: entries{
		"a": dir{Entries: entries{"first": file{Content: content}, "second": treetest.HardLink{To: "a/first"}}},
		"z": treetest.HardLink{To: "a/first"},
	}}
}

// A big file that only looks the same is found out when all of it is read, after which its links come.
func TestLinksGoToTheFileThatIsWrittenAnew(t *testing.T) {
	for name, content := range map[string]string{"small": random(1000, 1), "big": random(3<<20, 1)} {
		for _, include := range [][]string{nil, {"data/z", "data/a/second"}} {
			opts := Options{Targets: map[string]string{"data": filepath.Join(t.TempDir(), "t")}}
			b, target := altered(t, linked(content), "z", opts)
			opts.Overwrite, opts.Include = true, include
			mustRestore(t, b.archive, opts)
			for _, path := range []string{"a/second", "z"} {
				if got, err := os.ReadFile(filepath.Join(target, path)); err != nil || string(got) != content {
					t.Errorf("%s, include %q: %s isn't what was archived: %v", name, include, path, err)
				}
			}
			if include == nil {
				treetest.AssertEqual(t, b.root, target)
			}
		}
	}
}

// What is left alone because it differs isn't the file whose further names are in the archive.
func TestNoLinkGoesToAFileThatDiffers(t *testing.T) {
	for name, content := range map[string]string{"small": random(1000, 1), "big": random(3<<20, 1)} {
		opts := Options{Targets: map[string]string{"data": filepath.Join(t.TempDir(), "t")}}
		b, target := altered(t, linked(content), "a/first", opts)
		if err := os.Remove(target + "/z"); err != nil {
			t.Fatal(err)
		}
		got, err := restoreInto(t, b.archive, opts)
		if err != nil || !got.warned(Differs, "data/a/first") || !got.warned(Lost, "data/z") || got.HardLinks > 0 {
			t.Errorf("%s: %+v, %v\n%s", name, got.Result, err, got.text())
		}
		if left, err := os.ReadFile(target + "/z"); err == nil {
			t.Errorf("%s: z is a link to another file: %v", name, string(left) == content)
		}
	}
}

// What is in the holes of a file that stands is content as well.
func TestAFileWhoseHolesHoldSomethingDiffers(t *testing.T) {
	for name, size := range map[string]int64{"small": 100 << 10, "big": 20 << 20} {
		data := map[int64]string{0: "x", size / 2: random(int(size/8), 3)}
		tree := dir{Entries: entries{"s": treetest.Sparse{Size: size, Data: data}}}
		opts := Options{Targets: map[string]string{"data": filepath.Join(t.TempDir(), "t")}}
		b, target := altered(t, tree, "s", opts)
		got, err := restoreInto(t, b.archive, opts)
		if err != nil || !got.warned(Differs, "data/s") {
			t.Errorf("%s: %+v, %v", name, got.Result, err)
		}
		opts.Overwrite = true
		mustRestore(t, b.archive, opts)
		treetest.AssertEqual(t, b.root, target)
		if again := mustRestore(t, b.archive, opts); again.Kept != 1 {
			t.Errorf("%s: kept %d", name, again.Kept)
		}
	}
}

func TestOnlyTemporaryFilesOfARestoreAreRemoved(t *testing.T) {
	b := backedUp(t, library())
	target := t.TempDir()
	left, mine := target+"/"+temporaryPrefix+"0123abcd.4", target+"/"+temporaryPrefix+"notes"
	write(t, left, "half")
	write(t, mine, "mine")
	mustRestore(t, b.archive, Options{Targets: map[string]string{"data": target}})
	if _, err := os.Lstat(left); err == nil {
		t.Error("what an interrupted restore left is there")
	}
	if content, err := os.ReadFile(mine); err != nil || !strings.HasPrefix(string(content), "mine") {
		t.Errorf("a file that nobody made by a restore: %q, %v", content, err)
	}
}
