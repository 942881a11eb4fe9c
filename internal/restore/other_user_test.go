// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/treetest"
)

// TestMain lets this program be run again as another user who restores.
func TestMain(m *testing.M) {
	if path := os.Getenv("RESTORE_TEST_ARCHIVE"); path != "" {
		if err := restoreHere(path, os.Getenv("RESTORE_TEST_TARGET")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// restoreHere restores and prints what it says.
func restoreHere(path, target string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	a, err := archive.Open(f, st.Size())
	if err != nil {
		return err
	}
	result, err := Run(context.Background(), a, Options{
		Targets: map[string]string{"data": target}, Concurrency: 2,
		Warn: func(w Warning) { fmt.Printf("%s %s: %s\n", w.Kind, w.Path, w.Err) },
	})
	fmt.Printf("%+v\n", result)
	return err
}

// TestAnotherUserGetsWhatThatUserMay restores as a user who may not give files away.
func TestAnotherUserGetsWhatThatUserMay(t *testing.T) {
	if !isRoot {
		t.Skip("takes root to become somebody else; all other tests run as somebody else then")
	}
	b := backedUp(t, dir{Meta: meta{Mode: 0o755}, Entries: entries{
		"file":      file{Content: "x", Meta: meta{Mode: 0o4755, Xattrs: map[string]string{"user.x": "1"}}},
		"big":       file{Content: random(2<<20, 1), Meta: meta{Mode: 0o400, UID: 1234, GID: 5}},
		"read only": dir{Meta: meta{Mode: 0o500}, Entries: entries{"f": file{Content: "f"}, "l": treetest.HardLink{To: "read only/f"}}},
		"null":      treetest.Device{Major: 1, Minor: 3},
		"capable":   file{Meta: meta{Xattrs: map[string]string{"trusted.x": "1"}}},
		"link":      treetest.Symlink{Target: "x"}, "pipe": treetest.FIFO{},
	}})
	archivePath, target := forAnotherUser(t, b)
	// Twice: the second time everything stands, in directories that may not be written to.
	for _, kept := range []string{"Kept:0", "Kept:4"} {
		out := runAs(t, 65534, "RESTORE_TEST_ARCHIVE="+archivePath, "RESTORE_TEST_TARGET="+target)
		for _, want := range []string{"Failed data/null: ", kept, "Unowned:8", "Failed:1", "Partial:0", "trusted.x:1"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in:\n%s", want, out)
			}
		}
		assertOwnedCopy(t, b.root, target)
	}
}

// assertOwnedCopy compares trees but for owners, and for what takes root.
func assertOwnedCopy(t *testing.T, source, target string) {
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
		switch path {
		case "null":
			continue
		case "file":
			// Who couldn't be made its owner must not lend the own rights to others.
			w.Mode = "0755"
		}
		if g.Type != w.Type || g.Mode != w.Mode || g.SHA256 != w.SHA256 || g.ModTime != w.ModTime || g.Links != w.Links ||
			g.Xattrs["user.x"] != w.Xattrs["user.x"] || g.Owner != "65534:65534" {
			t.Errorf("%q is %+v, want %+v", path, g, w)
		}
	}
}

// runAs runs this program again as another user.
func runAs(t *testing.T, uid uint32, env ...string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("as user %d: %v\n%s", uid, err, out)
	}
	return string(out)
}
