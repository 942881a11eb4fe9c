// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestABackupIsTwoPrivateFilesThatStockToolsCheck(t *testing.T) {
	dir := t.TempDir()
	b := back(t, dir, "app", own, day0)
	if diff := cmp.Diff([]string{"app-20261101T050000Z.tar.zst", "app-20261101T050000Z.tar.zst.sha256"}, files(t, dir)); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	for _, file := range files(t, dir) {
		fi, err := os.Stat(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", file, fi.Mode())
		}
	}
	restored := t.TempDir()
	for _, command := range [][]string{
		{"tar", "--zstd", "-xf", filepath.Join(dir, b.File)},
		{"sha256sum", "--check", "--strict", filepath.Join(dir, b.File+SidecarSuffix)},
	} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir = restored
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%q: %v: %s", command, err, out)
		}
	}
	if b.State != Complete || b.Header.Policy != own || b.Summary.Files != 1 || b.Bytes == 0 {
		t.Errorf("listed as %+v", b)
	}
}

func TestTwoBackupsOfOneSecond(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "app-20261101T050001Z.tar.zst"), "a stranger's")
	back(t, dir, "app", own, day0)
	pending, err := Create(dir, "app", day0, map[string]bool{"app-20261101T050002Z.tar.zst.sha256": true})
	if err != nil || pending.Name() != "app-20261101T050003Z.tar.zst" {
		t.Fatalf("with a mirror it is %v, %v", pending, err)
	}
	if err := pending.Abort(); err != nil {
		t.Fatal(err)
	}
	if second := back(t, dir, "app", own, day0); second.File != "app-20261101T050002Z.tar.zst" {
		t.Errorf("the second one is %s", second.File)
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	pending, err := Create(dir, "app", day0, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".app-20261101T050000Z.tar.zst.partial", ".app-20261101T050000Z.tar.zst.sha256.partial"}
	if diff := cmp.Diff(want, files(t, dir)); diff != "" {
		t.Errorf("while written (-want +got)\n%s", diff)
	}
	if err := pending.Abort(); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestCommitNeverReplacesAndLeavesNothingWhenItFails(t *testing.T) {
	dir := t.TempDir()
	pending, err := Create(dir, "app", day0, nil)
	if err != nil {
		t.Fatal(err)
	}
	stranger := filepath.Join(dir, pending.Name())
	put(t, stranger, "came in between")
	if err := pending.Commit(); !errors.Is(err, os.ErrExist) {
		t.Errorf("Commit = %v, want that it exists", err)
	}
	if content, _ := os.ReadFile(stranger); string(content) != "came in between" {
		t.Errorf("the other file now holds %q", content)
	}
	if diff := cmp.Diff([]string{pending.Name()}, files(t, dir)); diff != "" {
		t.Errorf("left (-want +got)\n%s", diff)
	}
}

func TestCommitSaysWhenTheArchiveIsThereButItsNameNotOnDisk(t *testing.T) {
	dir := t.TempDir()
	pending, err := Create(dir, "app", day0, nil)
	if err != nil {
		t.Fatal(err)
	}
	pending.syncDirectory = func(string) error { return unix.EIO }
	if err := pending.Commit(); !errors.Is(err, ErrNotFlushed) || !errors.Is(err, unix.EIO) {
		t.Errorf("Commit = %v", err)
	}
	if diff := cmp.Diff([]string{pending.Name(), pending.Name() + SidecarSuffix}, files(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAListOfChecksumsThatCanNotBeWrittenLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	pending, err := Create(dir, "app", day0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(pending.Checksums(), line); err != nil {
		t.Fatal(err)
	}
	// What is written is only then known to be lost.
	pending.sidecar.Close()
	if err := pending.Commit(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Commit = %v", err)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
