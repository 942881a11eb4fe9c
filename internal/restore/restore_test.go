// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/treetest"
)

var isRoot = os.Geteuid() == 0

type (
	dir     = treetest.Dir
	file    = treetest.File
	entries = treetest.Entries
	meta    = treetest.Meta
)

// random is n incompressible bytes, the same for the same seed.
func random(n int, seed uint64) string {
	b := make([]byte, n)
	var key [32]byte
	key[0] = byte(seed)
	_, _ = rand.NewChaCha8(key).Read(b)
	return string(b)
}

// corpus is a tree with everything that an archive keeps.
func corpus() dir {
	long := strings.Repeat("n", 255)
	tree := dir{Meta: meta{Mode: 0o751, ModTime: time.Unix(1_500_000_000, 987_654_321)}, Entries: entries{
		"empty": file{}, "empty dir": dir{Meta: meta{Mode: 0o500, ModTime: time.Unix(1_400_000_000, 5)}},
		"small":       file{Content: "hello\n", Meta: meta{ModTime: time.Unix(1_600_000_000, 123_456_789)}},
		"big":         file{Content: random(5<<20+123, 1), Meta: meta{Mode: 0o4711, Xattrs: map[string]string{"user.big": "yes"}}},
		"text":        file{Content: strings.Repeat("all work and no play\n", 200_000)},
		"exactly":     file{Content: random(1<<20, 2)},
		"before 1970": file{Meta: meta{ModTime: time.Unix(-2, 250_000_000)}},
		"modes": dir{Meta: meta{Mode: 0o3775}, Entries: entries{
			"setuid": file{Meta: meta{Mode: 0o4755}}, "setgid": file{Meta: meta{Mode: 0o2755}},
			"read only": dir{Meta: meta{Mode: 0o555, ModTime: time.Unix(1, 1)}, Entries: entries{"f": file{Meta: meta{Mode: 0o400}}}},
			"sticky":    dir{Meta: meta{Mode: 0o1777}},
		}},
		"links": dir{Meta: meta{ModTime: time.Unix(1_300_000_000, 9)}, Entries: entries{
			"first": file{Content: "one file, three names"}, "second": treetest.HardLink{To: "links/first"},
			"sub": dir{Entries: entries{"third": treetest.HardLink{To: "links/first"}}},
			"big": file{Content: random(2<<20, 5)}, "bigger": treetest.HardLink{To: "links/big"},
			"relative": treetest.Symlink{Target: "../small", Meta: meta{ModTime: time.Unix(1_400_000_000, 5)}},
			"dangling": treetest.Symlink{Target: "/nowhere/at all"}, "s link": treetest.HardLink{To: "links/relative"},
			"fifo": treetest.FIFO{Meta: meta{Mode: 0o620}}, "pipe": treetest.HardLink{To: "links/fifo"},
		}},
		"names": dir{Entries: entries{
			long: file{Content: "long"}, "\xff\xfe not utf-8": file{Content: "bytes"}, "new\nline": file{},
			".x":    dir{Entries: entries{long: dir{Entries: entries{long: dir{Entries: entries{long: file{Content: "deep"}}}}}}},
			"a":     dir{Entries: entries{"x": file{}}},
			"a.b":   file{Content: "between a and a/x, by bytes"},
			"*.pem": file{Content: "not a pattern"},
		}},
		"sparse": dir{Entries: entries{
			"all hole": treetest.Sparse{Size: 3 << 20},
			"last":     treetest.Sparse{Size: 1<<20 + 100, Data: map[int64]string{1 << 20: random(100, 7)}},
			"middle": treetest.Sparse{Size: 9<<20 + 1, Data: map[int64]string{
				1 << 20: random(1<<20+1, 8), 5 << 20: "five", 7<<20 + 4095: "seven"}},
			"over 8 GiB": treetest.Sparse{Size: 9 << 30, Data: map[int64]string{0: "first", 8<<30 + 4096: random(3<<20, 9)}},
		}},
		"xattrs": dir{Meta: meta{Xattrs: map[string]string{"user.dir": "directory"}}, Entries: entries{
			"text":      file{Meta: meta{Xattrs: map[string]string{"user.b": "2", "user.a=%": "1", "user.empty": ""}}},
			"read only": file{Meta: meta{Mode: 0o400, Xattrs: map[string]string{"user.bin": "\x00\x01\n=\xff"}}},
		}},
		"acls": dir{Meta: meta{ACL: "u:1234:rwx,d:u:1234:rw,d:g:77:r"}, Entries: entries{
			"file": file{Meta: meta{Mode: 0o640, ACL: "u:1234:rw,u:99999:r,g:77:---"}},
		}},
	}}
	// These are made after their directory's default list, and so have one.
	tree.Entries["acls"].(dir).Entries["sub"] = dir{}
	if isRoot {
		tree.Entries["root's"] = dir{Meta: meta{UID: 1000, GID: 1001, Xattrs: map[string]string{"trusted.x": "t"}}, Entries: entries{
			"owned":       file{Meta: meta{UID: 1234, GID: 5678, Mode: 0o6711}},
			"big ids":     file{Meta: meta{UID: 3_000_000_000, GID: 2_097_152}},
			"owned link":  treetest.Symlink{Target: "x", Meta: meta{UID: 7, GID: 8}},
			"null":        treetest.Device{Major: 1, Minor: 3, Meta: meta{Mode: 0o666}},
			"block":       treetest.Device{Block: true, Major: 259, Minor: 1 << 19},
			"secret":      file{Content: "s", Meta: meta{Mode: 0o000, UID: 42}},
			"acl on pipe": treetest.FIFO{Meta: meta{ACL: "u:1:rw"}},
		}}
	}
	return tree
}

// backup is a source and an archive of it.
type backup struct {
	root    string
	path    string
	archive *archive.Archive
}

// backedUp makes a tree and an archive of it as the source "data".
func backedUp(t testing.TB, tree dir) backup {
	t.Helper()
	b := backup{root: filepath.Join(t.TempDir(), "source")}
	treetest.Build(t, b.root, tree)
	b.path, b.archive = archived(t, archive.Source{Name: "data", Path: b.root})
	return b
}

// archived archives sources and opens the archive.
func archived(t testing.TB, sources ...archive.Source) (string, *archive.Archive) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive.tar.zst")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := archive.Write(t.Context(), f, sources, archive.Options{}); err != nil {
		t.Fatalf("write archive: %v", err)
	}
	return path, openArchive(t, path)
}

func openArchive(t testing.TB, path string) *archive.Archive {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	a, err := archive.Open(f, st.Size())
	if err != nil {
		t.Fatalf("open archive: %v", err)
	}
	return a
}

// mustRestore restores and fails the test if not everything is there.
func mustRestore(t testing.TB, a *archive.Archive, opts Options) ran {
	t.Helper()
	got, err := restoreInto(t, a, opts)
	if err != nil {
		t.Fatalf("restore: %v", err)
	}
	if !got.Complete() {
		t.Fatalf("incomplete: %+v\n%s", got.Result, got.text())
	}
	return got
}

func TestEverythingComesBack(t *testing.T) {
	b := backedUp(t, corpus())
	for _, workers := range []int{1, 4} {
		target := filepath.Join(t.TempDir(), "new", "target")
		got := mustRestore(t, b.archive, Options{Targets: map[string]string{"data": target}, Concurrency: workers})
		treetest.AssertEqual(t, b.root, target)
		s := b.archive.Info().Summary
		if got.Files != s.Files || got.Directories != s.Directories || got.Symlinks != s.Symlinks ||
			got.HardLinks != s.HardLinks || got.Specials != s.Specials || got.Bytes != s.BytesRead || got.Kept != 0 {
			t.Errorf("restored %+v of %+v", got.Result, s)
		}
	}
}

func TestEachSourceGoesWhereItShould(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	treetest.Build(t, one, dir{Entries: entries{"a": file{Content: "a"}, "big": file{Content: random(2<<20, 1)}}})
	treetest.Build(t, two, dir{Entries: entries{"b": file{Content: "b"}}})
	_, a := archived(t, archive.Source{Name: "one", Path: one}, archive.Source{Name: "two", Path: two})

	all := t.TempDir()
	mustRestore(t, a, Options{Target: all})
	treetest.AssertEqual(t, one, all+"/one")
	treetest.AssertEqual(t, two, all+"/two")

	only := t.TempDir()
	mustRestore(t, a, Options{Targets: map[string]string{"two": only + "/second"}})
	treetest.AssertEqual(t, two, only+"/second")
	if names, _ := filepath.Glob(only + "/*"); len(names) != 1 {
		t.Errorf("there are %q", names)
	}
}

func TestAPathInASourceWithoutATarget(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	treetest.Build(t, one, dir{Entries: entries{"a": file{Content: "a"}}})
	treetest.Build(t, two, dir{Entries: entries{"b": file{Content: "b"}}})
	_, a := archived(t, archive.Source{Name: "one", Path: one}, archive.Source{Name: "two", Path: two})
	target := filepath.Join(t.TempDir(), "t")
	opts := Options{Targets: map[string]string{"one": target}, Include: []string{"one/a", "two/b"}}
	if _, err := restoreInto(t, a, opts); !errors.Is(err, ErrInvalidTarget) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
}

func TestTargetsThatCannotBeMeant(t *testing.T) {
	b := backedUp(t, dir{Entries: entries{"a": file{}}})
	target := t.TempDir()
	plain := filepath.Join(target, "file")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string]Options{
		"none":       {},
		"both forms": {Target: target, Targets: map[string]string{"data": target}},
		"no source":  {Targets: map[string]string{"logs": target}},
		"a file":     {Targets: map[string]string{"data": plain}},
	} {
		if _, err := restoreInto(t, b.archive, opts); !errors.Is(err, ErrInvalidTarget) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
