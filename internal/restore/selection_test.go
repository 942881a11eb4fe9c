// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
)

// pathsIn lists what is in a tree, sorted.
func pathsIn(t testing.TB, root string) []string {
	t.Helper()
	s, err := treetest.Take(root)
	if err != nil {
		t.Fatal(err)
	}
	delete(s, "")
	return slices.Sorted(maps.Keys(s))
}

// library is a tree of which parts are asked for.
func library() dir {
	return dir{Entries: entries{
		"etc": dir{Meta: meta{Mode: 0o710, ModTime: time.Unix(1_500_000_000, 1)}, Entries: entries{
			"motd": file{Content: "hello"}, "a.pem": file{Content: "a"},
			"sub": dir{Meta: meta{Mode: 0o700, Xattrs: map[string]string{"user.x": "1"}}, Entries: entries{"b.pem": file{Content: "b"}}},
		}},
		"etc-2": dir{Entries: entries{"motd": file{Content: "other"}}},
		"log":   dir{Entries: entries{"1": file{Content: "1"}, "2": file{Content: "2"}}},
		"motd":  file{Content: "top"},
	}}
}

func TestWhatIsSelected(t *testing.T) {
	b := backedUp(t, library())
	tests := map[string]struct {
		include, exclude []string
		want             string
	}{
		"a path":                        {[]string{"data/etc/motd"}, nil, "etc etc/motd"},
		"a directory with all in it":    {[]string{"data/etc"}, nil, "etc etc/a.pem etc/motd etc/sub etc/sub/b.pem"},
		"what is in a directory":        {[]string{"data/log/**"}, nil, "log log/1 log/2"},
		"names at any depth":            {[]string{"*.pem"}, nil, "etc etc/a.pem etc/sub etc/sub/b.pem"},
		"a pattern below a directory":   {[]string{"data/etc/*.pem"}, nil, "etc etc/a.pem"},
		"any directory":                 {[]string{"data/**/motd"}, nil, "etc etc-2 etc-2/motd etc/motd motd"},
		"several":                       {[]string{"data/motd", "data/log/{1,x}"}, nil, "log log/1 motd"},
		"a leading slash":               {[]string{"/data/motd"}, nil, "motd"},
		"directories only":              {[]string{"data/*/"}, []string{"data/etc*"}, "log log/1 log/2"},
		"all but":                       {nil, []string{"data/etc", "*.pem", "data/log/2"}, "etc-2 etc-2/motd log log/1 motd"},
		"excluded though included":      {[]string{"data/etc"}, []string{"data/etc/sub"}, "etc etc/a.pem etc/motd"},
		"included below what is out":    {[]string{"data/etc/sub/b.pem", "data/motd"}, []string{"data/etc"}, "motd"},
		"a source":                      {[]string{"data"}, []string{"data/*/*"}, "etc etc-2 log motd"},
		"a directory that begins alike": {[]string{"data/etc-2"}, nil, "etc-2 etc-2/motd"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			target := filepath.Join(t.TempDir(), "t")
			mustRestore(t, b.archive, Options{
				Targets: map[string]string{"data": target}, Include: test.include, Exclude: test.exclude,
			})
			if diff := cmp.Diff(test.want, strings.Join(pathsIn(t, target), " ")); diff != "" {
				t.Errorf("restored (-want +got):\n%s", diff)
			}
			treetest.AssertEqualBut(t, b.root, target, func(p string) bool {
				return !slices.Contains(pathsIn(t, target), p) || p == ""
			})
		})
	}
}

func TestDirectoriesOnTheWayKeepTheirMetadataIfTheyExist(t *testing.T) {
	b := backedUp(t, library())
	target := t.TempDir()
	if err := errors.Join(os.Mkdir(target+"/etc", 0o777), os.Chmod(target+"/etc", 0o777)); err != nil {
		t.Fatal(err)
	}
	mustRestore(t, b.archive, Options{Targets: map[string]string{"data": target}, Include: []string{"data/etc/motd"}})
	if st, err := os.Stat(target + "/etc"); err != nil || st.Mode().Perm() != 0o777 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

func TestWhatMatchesNothingIsSaid(t *testing.T) {
	b := backedUp(t, library())
	target := filepath.Join(t.TempDir(), "t")
	opts := Options{Targets: map[string]string{"data": target}, Include: []string{"data/etc/motd", "data/nowhere"}}
	if _, err := restoreInto(t, b.archive, opts); !errors.Is(err, ErrNoMatch) {
		t.Errorf("a path that isn't there: %v", err)
	}
	if _, err := os.Stat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
	opts.Include = []string{"data/etc/motd", "*.nothing"}
	got, err := restoreInto(t, b.archive, opts)
	if err != nil || got.Complete() || !slices.Equal(got.Unmatched, []string{"*.nothing"}) || got.Files != 1 {
		t.Errorf("a pattern that matches nothing: %+v, %v", got.Result, err)
	}
	for _, pattern := range []string{"", "data/../x", "data//x", "data/[a", "."} {
		opts.Include = []string{pattern}
		if _, err := restoreInto(t, b.archive, opts); !errors.Is(err, ErrInvalidPattern) {
			t.Errorf("pattern %q: %v", pattern, err)
		}
	}
}

func TestALinkWhoseFirstNameIsNotWanted(t *testing.T) {
	b := backedUp(t, dir{Entries: entries{
		"a": dir{Entries: entries{"big": file{Content: random(3<<20, 1)}, "small": file{Content: "s"}}},
		"b": dir{Entries: entries{
			"big": treetest.HardLink{To: "a/big"}, "big 2": treetest.HardLink{To: "a/big"},
			"small": treetest.HardLink{To: "a/small"}, "small 2": treetest.HardLink{To: "a/small"},
		}},
	}})
	target := filepath.Join(t.TempDir(), "t")
	mustRestore(t, b.archive, Options{Targets: map[string]string{"data": target}, Include: []string{"data/b"}})
	s, err := treetest.Take(target)
	if err != nil {
		t.Fatal(err)
	}
	want, err := treetest.Take(b.root)
	if err != nil {
		t.Fatal(err)
	}
	if len(s) != 6 || s["b/big"].Links != "b/big b/big 2" || s["b/small"].Links != "b/small b/small 2" ||
		s["b/big"].SHA256 != want["a/big"].SHA256 || s["b/small"].ModTime != want["a/small"].ModTime {
		t.Errorf("restored %+v", s)
	}
}

// TestOneFileReadsLittle counts what is read of an archive of many blocks and frames.
func TestOneFileReadsLittle(t *testing.T) {
	tree := dir{Entries: entries{}}
	for _, d := range strings.Split("abcdefghijklm", "") {
		sub := dir{Entries: entries{}}
		for i := range 200 {
			sub.Entries[strings.Repeat("x", 20)+d+string(rune('A'+i%26))+string(rune('a'+i/26))] = file{Content: random(2000, uint64(i))}
		}
		tree.Entries[d] = sub
	}
	b := backedUp(t, tree)
	f, err := os.Open(b.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, _ := f.Stat()
	counter := &countingReader{file: f}
	a, err := archive.Open(counter, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Blocks()) < 3 {
		t.Fatalf("only %d blocks", len(a.Blocks()))
	}
	got := mustRestore(t, a, Options{Target: t.TempDir(), Include: []string{"data/h/" + strings.Repeat("x", 20) + "hCb"}})
	if got.Files != 1 {
		t.Errorf("%+v", got.Result)
	}
	if limit := st.Size() / 3; counter.total > limit {
		t.Errorf("%d bytes of %d were read for one file, more than %d", counter.total, st.Size(), limit)
	}
}

type countingReader struct {
	file  *os.File
	total int64
}

func (c *countingReader) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.file.ReadAt(b, off)
	c.total += int64(n)
	return n, err
}

func TestEntriesListsWhatIsSelected(t *testing.T) {
	b := backedUp(t, library())
	var got []string
	list := func(e *index.Entry) error {
		got = append(got, e.Path)
		return nil
	}
	if err := Entries(t.Context(), b.archive, []string{"data/etc/**"}, []string{"*.pem"}, list); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"data/etc/motd", "data/etc/sub"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := Entries(t.Context(), b.archive, []string{"*.none"}, nil, list); !errors.Is(err, ErrNoMatch) {
		t.Errorf("nothing matches: %v", err)
	}
}
