// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"github.com/google/go-cmp/cmp"
)

// line is what the sidecar of such a backup holds.
var line = fmt.Sprintf("%x  data/file\n", sha256.Sum256([]byte("content\n")))

// back makes a real backup of one small file in dir.
func back(t *testing.T, dir, prefix, policy string, when time.Time) Backup {
	t.Helper()
	source := t.TempDir()
	put(t, filepath.Join(source, "file"), "content\n")
	pending, err := Create(dir, prefix, when, nil)
	if err != nil {
		t.Fatal(err)
	}
	header := archive.Header{Policy: policy, Run: "run", CreatedAt: when}
	_, err = archive.Write(t.Context(), pending.File(), []archive.Source{{Name: "data", Path: source}},
		archive.Options{Header: header})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(pending.Checksums(), line); err != nil {
		t.Fatal(err)
	}
	if err := pending.Commit(); err != nil {
		t.Fatal(err)
	}
	for _, b := range list(t, dir, prefix) {
		if b.File == pending.Name() {
			return b
		}
	}
	t.Fatalf("%s isn't listed", pending.Name())
	return Backup{}
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, dir, prefix string) []Backup {
	t.Helper()
	backups, err := List(dir, prefix, day0.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return backups
}

// files is what is in a directory, sorted.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	b := back(t, dir, "app", own, day0)
	f, err := Open(dir, b)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := f.Stat(); err != nil || fi.Size() != b.Bytes {
		t.Errorf("opened %v, %v", fi, err)
	}
	f.Close()
	path := filepath.Join(dir, b.File)
	if err := errors.Join(os.Rename(path, path+".moved"), os.Symlink(path+".moved", path)); err != nil {
		t.Fatal(err)
	}
	if f, err := Open(dir, b); err == nil {
		f.Close()
		t.Error("a link was followed")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, b); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("one that is gone: %v", err)
	}
	other := back(t, dir, "other", "other/policy", day0)
	if err := os.Rename(filepath.Join(dir, other.File), path); err != nil {
		t.Fatal(err)
	}
	if f, err := Open(dir, b); err == nil {
		f.Close()
		t.Error("another policy's archive was opened in its place")
	}
}

func TestSidecarBytes(t *testing.T) {
	dir := t.TempDir()
	b := back(t, dir, "app", own, day0)
	if n := SidecarBytes(dir, b); n != int64(len(line)) {
		t.Errorf("%d bytes", n)
	}
	if n := SidecarBytes(t.TempDir(), b); n != 0 {
		t.Errorf("of a sidecar that isn't there: %d bytes", n)
	}
}

func TestListTellsWhatIsWhat(t *testing.T) {
	dir := t.TempDir()
	good := back(t, dir, "app", own, day0)
	other := back(t, dir, "app-2", own, day0)
	whole, err := os.ReadFile(filepath.Join(dir, good.File))
	if err != nil {
		t.Fatal(err)
	}
	name := func(day int) string { return Name{Prefix: "app", Time: day0.AddDate(0, 0, day)}.String() }
	put(t, filepath.Join(dir, name(1)), string(whole[:len(whole)-10]))
	put(t, filepath.Join(dir, name(2)), "a stranger's file")
	put(t, filepath.Join(dir, name(3)), "")
	if err := os.Symlink(good.File, filepath.Join(dir, name(4))); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, name(5)), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfifo", filepath.Join(dir, name(6))).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	put(t, filepath.Join(dir, "notes.txt"), "")

	got := map[string]State{}
	var order []string
	for _, b := range list(t, dir, "app") {
		got[b.File] = b.State
		order = append(order, b.File)
		if (b.Err == nil) != b.Good() {
			t.Errorf("%s is %s with the error %v", b.File, b.State, b.Err)
		}
	}
	want := map[string]State{
		good.File: Complete, name(1): Damaged, name(2): Foreign, name(3): Foreign, name(4): Foreign, name(5): Foreign, name(6): Foreign,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if !slices.IsSortedFunc(order, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("not newest first: %q", order)
	}
	if all := list(t, dir, ""); len(all) != len(want)+1 || !slices.ContainsFunc(all, func(b Backup) bool { return b.File == other.File }) {
		t.Errorf("without a prefix %d are listed", len(all))
	}
	if _, err := List(filepath.Join(dir, "nowhere"), "", day0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that isn't there: %v", err)
	}
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	b := back(t, dir, "app", own, day0)
	kept := back(t, dir, "app", own, day0.AddDate(0, 0, 1))
	if err := Remove(dir, b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{kept.File, kept.File + SidecarSuffix}, files(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := Remove(dir, b); err != nil {
		t.Errorf("removed again: %v", err)
	}
}

func TestRemoveLooksOnceMore(t *testing.T) {
	for name, replace := range map[string]func(t *testing.T, dir string, b Backup){
		"a stranger's file": func(t *testing.T, dir string, b Backup) { put(t, filepath.Join(dir, b.File), "a stranger's") },
		"another policy's archive": func(t *testing.T, dir string, b Backup) {
			other := back(t, dir, "other", "other/policy", day0)
			if err := os.Rename(filepath.Join(dir, other.File), filepath.Join(dir, b.File)); err != nil {
				t.Fatal(err)
			}
		},
		"a link to the policy's own archive": func(t *testing.T, dir string, b Backup) {
			path := filepath.Join(dir, b.File)
			if err := errors.Join(os.Rename(path, path+".moved"), os.Symlink(path+".moved", path)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := back(t, dir, "app", own, day0)
			replace(t, dir, b)
			before := files(t, dir)
			if err := Remove(dir, b); err == nil || !strings.Contains(err.Error(), "left alone") {
				t.Errorf("Remove = %v", err)
			}
			if diff := cmp.Diff(before, files(t, dir)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestRemoveStale(t *testing.T) {
	dir := t.TempDir()
	back(t, dir, "app", own, day0)
	alone := "app-20261102T050000Z.tar.zst.sha256"
	stale := []string{
		".app-20261103T050000Z.tar.zst.partial", ".app-20261103T050000Z.tar.zst.sha256.partial", ".app.write-test",
		"..app.policy.partial", alone,
	}
	for _, file := range stale {
		put(t, filepath.Join(dir, file), line)
	}
	for file, content := range map[string]string{
		"app-20261106T050000Z.tar.zst.sha256": "",
		"app-20261107T050000Z.tar.zst.sha256": "\\" + strings.Replace(line, "file", "a\\nb", 1),
		"app-20261109T050000Z.tar.zst.sha256": "# incomplete, not listed: data/broken\n" + line,
		"app-20261108T050000Z.tar.zst.sha256": "# sparse, not listed: data/disk.img\n" + line,
	} {
		put(t, filepath.Join(dir, file), content)
		stale = append(stale, file)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	put(t, outside, "")
	if err := os.Symlink(outside, filepath.Join(dir, ".app-20261104T050000Z.tar.zst.partial")); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{
		".app-2-20261103T050000Z.tar.zst.partial", "app-2-20261102T050000Z.tar.zst.sha256", // another prefix's
		"app-20261105T050000Z.tar.zst.sha256",                              // not what is in one
		".app.lock", ".app.policy", ".app-x.partial", "a.partial", "notes", // not stale, or strangers'
		".app-20261103T050000Z.tar.zst.partial.bak",
	} {
		put(t, filepath.Join(dir, file), "a stranger's")
	}
	before := files(t, dir)

	removed, err := RemoveStale(dir, "app")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(stale)
	slices.Sort(removed)
	if diff := cmp.Diff(stale, removed); diff != "" {
		t.Errorf("removed (-want +got)\n%s", diff)
	}
	want := slices.DeleteFunc(before, func(file string) bool { return slices.Contains(stale, file) })
	if diff := cmp.Diff(want, files(t, dir)); diff != "" {
		t.Errorf("left (-want +got)\n%s", diff)
	}
}

func TestCleanReceiving(t *testing.T) {
	dir := t.TempDir()
	receiving, err := CleanReceiving(dir, "app")
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(receiving, ".app-20261102T050000Z.tar.zst.Xy12"), "half")
	if _, err := CleanReceiving(dir, "app"); err != nil {
		t.Fatal(err)
	}
	if left := files(t, receiving); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	elsewhere := t.TempDir()
	put(t, filepath.Join(elsewhere, "precious"), "")
	if err := os.Symlink(elsewhere, filepath.Join(dir, ".app-2.partial")); err != nil {
		t.Fatal(err)
	}
	if _, err := CleanReceiving(dir, "app-2"); err == nil {
		t.Error("a link was followed")
	}
	if len(files(t, elsewhere)) != 1 {
		t.Error("what the link leads to was removed")
	}
}

func TestWriteTest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := EnsureDirectory(dir); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(filepath.Dir(dir)); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("made %v, %v", fi.Mode(), err)
	}
	put(t, filepath.Join(dir, ".app.write-test"), "of a killed run")
	if err := TestWrite(dir, "app"); err != nil {
		t.Error(err)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if err := TestWrite(filepath.Join(dir, "nowhere"), "app"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that isn't there: %v", err)
	}
}

func TestMeasureSpace(t *testing.T) {
	space, err := MeasureSpace(t.TempDir())
	if err != nil || space.Total <= 0 || space.Free > space.Total {
		t.Errorf("%+v, %v", space, err)
	}
}
