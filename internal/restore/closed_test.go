// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/treetest"
	"golang.org/x/sys/unix"
)

// TestDirectoriesThatTheirOwnerMayNotUse are restored by somebody who owns them then, and stand the second time.
func TestDirectoriesThatTheirOwnerMayNotUse(t *testing.T) {
	if !isRoot {
		t.Skip("takes root to become somebody else, and to look at what came out")
	}
	old := time.Unix(1_400_000_000, 5)
	b := backedUp(t, dir{Meta: meta{Mode: 0o755}, Entries: entries{
		"closed": dir{Meta: meta{Mode: 0o005, ModTime: old}, Entries: entries{
			"f": file{Content: "f"}, "sub": dir{Meta: meta{ModTime: old}, Entries: entries{"g": file{Content: "g"}}},
		}},
		"drop": dir{Meta: meta{Mode: 0o311, ModTime: old}, Entries: entries{"f": file{Content: "f"}}},
	}})
	archivePath, target := forAnotherUser(t, b)
	for _, kept := range []string{"Kept:0", "Kept:3"} {
		out := runAs(t, 65534, "RESTORE_TEST_ARCHIVE="+archivePath, "RESTORE_TEST_TARGET="+target)
		if !strings.Contains(out, kept) || !strings.Contains(out, "Failed:0 Partial:0") {
			t.Errorf("not %s:\n%s", kept, out)
		}
		got, err := treetest.Take(target)
		if err != nil {
			t.Fatal(err)
		}
		for path, mode := range map[string]string{"closed": "0005", "drop": "0311", "closed/sub": "0755"} {
			if g := got[path]; g.Mode != mode || g.ModTime != "1400000000.000000005" {
				t.Errorf("%s is %+v", path, g)
			}
		}
	}
}

// A forged archive may have a million further names of files a thousand levels deep: each of them is looked up anew.
func TestADirectoryBelowIsOpenedInOneCallAndThroughNoLink(t *testing.T) {
	root := t.TempDir()
	deep := strings.Repeat("d/", 1000)
	if err := os.MkdirAll(filepath.Join(root, deep), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("d", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	for _, path := range []string{"", "d", "/" + deep} {
		fd, err := openBeneath(dir, path)
		if err != nil {
			t.Fatalf("%.20q: %v", path, err)
		}
		_ = unix.Close(fd)
	}
	for _, path := range []string{"link", "link/d", "..", "d/../..", "nothing"} {
		if fd, err := openBeneath(dir, path); err == nil {
			_ = unix.Close(fd)
			t.Errorf("%q can be opened in one call", path)
		}
		if w, err := openBelow(dir, path); err == nil && !strings.Contains(path, "..") {
			w.close()
			t.Errorf("%q can be opened", path)
		}
	}
	if err := os.Mkdir(filepath.Join(root, deep, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	w, err := openBelow(dir, deep+"closed")
	if err != nil {
		t.Fatal(err)
	}
	w.close()
}
