// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
	"golang.org/x/sys/unix"
)

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// inode tells whether a file was written anew.
func inode(t testing.TB, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestWhatStandsIsKept(t *testing.T) {
	b := backedUp(t, corpus())
	opts := Options{Targets: map[string]string{"data": filepath.Join(t.TempDir(), "t")}}
	target := opts.Targets["data"]
	mustRestore(t, b.archive, opts)
	big, small := inode(t, target+"/big"), inode(t, target+"/small")
	// As if the restore had been interrupted: some files and the metadata of directories are missing.
	write(t, target+"/links/"+temporaryPrefix+"0123.4", "half")
	err := errors.Join(os.Remove(target+"/text"), os.Remove(target+"/links/second"), os.Remove(target+"/sparse/middle"),
		os.Chmod(target+"/small", 0o600), os.Chmod(target+"/links", 0o700), os.RemoveAll(target+"/modes"))
	if err != nil {
		t.Fatal(err)
	}
	got := mustRestore(t, b.archive, opts)
	treetest.AssertEqual(t, b.root, target)
	if inode(t, target+"/big") != big || inode(t, target+"/small") != small {
		t.Error("files that stood were written again")
	}
	if s := b.archive.Info().Summary; got.Files != s.Files || got.Kept != s.Files-5 {
		t.Errorf("%+v of %+v", got.Result, s)
	}
}

// conflicts are things that stand in a target and differ from what the archive has there.
func conflicts(t testing.TB, target string) map[string]func() {
	t.Helper()
	sameTime := func(path, content string) {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, content)
		if err := treetest.SetModTime(path, st.ModTime()); err != nil {
			t.Fatal(err)
		}
	}
	replace := func(path string, with func(path string) error) {
		if err := errors.Join(os.RemoveAll(path), with(path)); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]func(){
		"another size":               func() { sameTime(target+"/small", "hello, world\n") },
		"another time":               func() { write(t, target+"/small", "hello\n") },
		"another content":            func() { sameTime(target+"/small", "HELLO\n") },
		"another big one":            func() { sameTime(target+"/big", random(5<<20+123, 77)) },
		"another big one with links": func() { sameTime(target+"/links/big", random(2<<20, 77)) },
		"another content in a hole":  func() { fillHole(t, target+"/sparse/middle") },
		"a link for a file":          func() { replace(target+"/small", func(p string) error { return os.Symlink("/etc/passwd", p) }) },
		"a link that leads elsewhere": func() {
			replace(target+"/links/dangling", func(p string) error { return os.Symlink("/elsewhere", p) })
		},
		"a file for a directory": func() { replace(target+"/xattrs", func(p string) error { return os.WriteFile(p, nil, 0o600) }) },
		"a link for a directory": func() { replace(target+"/xattrs", func(p string) error { return os.Symlink("/tmp", p) }) },
		"a file for a pipe":      func() { replace(target+"/links/fifo", func(p string) error { return os.WriteFile(p, nil, 0o600) }) },
		"another file for a hard link": func() {
			replace(target+"/links/second", func(p string) error { return os.WriteFile(p, []byte("x"), 0o600) })
		},
	}
}

// fillHole writes into a hole of a file, and leaves its size and time as they were.
func fillHole(t testing.TB, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), 4<<20); err != nil {
		t.Fatal(err)
	}
	if err := treetest.SetModTime(path, st.ModTime()); err != nil {
		t.Fatal(err)
	}
}

func TestWhatDiffersIsNotOverwrittenUnlessAsked(t *testing.T) {
	b := backedUp(t, corpus())
	for name := range conflicts(t, "") {
		t.Run(name, func(t *testing.T) {
			opts := Options{Targets: map[string]string{"data": filepath.Join(t.TempDir(), "t")}}
			target := opts.Targets["data"]
			mustRestore(t, b.archive, opts)
			conflicts(t, target)[name]()
			if err := os.Remove(target + "/text"); err != nil {
				t.Fatal(err)
			}
			before, err := treetest.Take(target)
			if err != nil {
				t.Fatal(err)
			}
			got, err := restoreInto(t, b.archive, opts)
			late := strings.HasPrefix(name, "another content") || strings.HasPrefix(name, "another big")
			if late && (err != nil || got.Differing < 1 || got.Complete()) || !late && !errors.Is(err, ErrConflict) {
				t.Errorf("%+v, %v", got.Result, err)
			}
			after, err := treetest.Take(target)
			if err != nil {
				t.Fatal(err)
			}
			if _, written := after["text"]; written != late {
				t.Errorf("something else was written: %v", written)
			}
			for path, facts := range before {
				if path != "" && facts.SHA256 != after[path].SHA256 {
					t.Errorf("%s was overwritten", path)
				}
			}
			opts.Overwrite = true
			mustRestore(t, b.archive, opts)
			treetest.AssertEqual(t, b.root, target)
		})
	}
}

func TestNothingIsWrittenThroughALink(t *testing.T) {
	b := backedUp(t, corpus())
	outside := t.TempDir()
	target := filepath.Join(t.TempDir(), "t")
	if err := errors.Join(os.Mkdir(target, 0o700), os.Symlink(outside, target+"/xattrs"),
		os.Symlink(outside+"/file", target+"/small")); err != nil {
		t.Fatal(err)
	}
	mustRestore(t, b.archive, Options{Targets: map[string]string{"data": target}, Overwrite: true})
	treetest.AssertEqual(t, b.root, target)
	if left := pathsIn(t, outside); len(left) > 0 {
		t.Errorf("outside of the target there is %q", left)
	}
}

func TestOtherFilesAreLeftAlone(t *testing.T) {
	b := backedUp(t, library())
	target := t.TempDir()
	write(t, target+"/mine", "mine")
	mustRestore(t, b.archive, Options{Targets: map[string]string{"data": target}, Overwrite: true})
	if content, err := os.ReadFile(target + "/mine"); err != nil || string(content) != "mine" {
		t.Errorf("%q, %v", content, err)
	}
}

func TestAListOfTheTargetIsNotInherited(t *testing.T) {
	b := backedUp(t, library())
	target := filepath.Join(t.TempDir(), "t")
	treetest.Build(t, target, dir{Meta: meta{ACL: "d:u:1234:rwx"}})
	mustRestore(t, b.archive, Options{Targets: map[string]string{"data": target}})
	treetest.AssertEqual(t, b.root, target)
}

// TestAnInterruptedRestoreGoesOn ends a restore in the middle, again and again.
func TestAnInterruptedRestoreGoesOn(t *testing.T) {
	b := backedUp(t, corpus())
	target := filepath.Join(t.TempDir(), "t")
	stop := errors.New("stop")
	for after := 1; ; after += 4 {
		ctx, cancel := context.WithCancelCause(t.Context())
		calls := 0
		_, err := Run(ctx, b.archive, Options{
			Targets: map[string]string{"data": target}, Concurrency: 2,
			Progress: func(Progress) {
				if calls++; calls == after {
					cancel(stop)
				}
			},
		})
		cancel(nil)
		if err == nil {
			break
		}
		if !errors.Is(err, stop) {
			t.Fatalf("after %d frames: %v", after, err)
		}
		for _, path := range pathsIn(t, target) {
			if strings.Contains(path, temporaryPrefix) {
				t.Errorf("after %d frames %q is left", after, path)
			}
		}
		assertNothingIsHalf(t, b.root, target)
	}
	treetest.AssertEqual(t, b.root, target)
}

// assertNothingIsHalf fails if a file in the target isn't as in the source.
func assertNothingIsHalf(t *testing.T, source, target string) {
	t.Helper()
	want, err := treetest.Take(source)
	if err != nil {
		t.Fatal(err)
	}
	got, err := treetest.Take(target)
	if err != nil {
		t.Fatal(err)
	}
	for path, facts := range got {
		w := want[path]
		if facts.Type == "file" && (facts.SHA256 != w.SHA256 || facts.Mode != w.Mode || facts.ModTime != w.ModTime) {
			t.Errorf("%s is half there: %+v", path, facts)
		}
	}
}

func TestTwoRestoresIntoOneTarget(t *testing.T) {
	b := backedUp(t, library())
	target := t.TempDir()
	other := &root{path: target}
	if err := other.open(); err != nil {
		t.Fatal(err)
	}
	defer other.file.Close()
	if _, err := restoreInto(t, b.archive, Options{Targets: map[string]string{"data": target}}); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
}

func TestProgressOnlyGrows(t *testing.T) {
	b := backedUp(t, corpus())
	var seen []Progress
	got, err := Run(t.Context(), b.archive, Options{
		Target: t.TempDir(), Progress: func(p Progress) { seen = append(seen, p) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(seen, func(a, b Progress) int { return int(a.Bytes - b.Bytes) }) ||
		seen[len(seen)-1].Files != got.Files {
		t.Errorf("progress %v of %+v", seen, got)
	}
}
