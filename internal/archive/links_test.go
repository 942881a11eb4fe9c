// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"os"
	"path/filepath"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestIdentity(t *testing.T) {
	file := identity{kind: unix.S_IFREG, born: timestamp{1, 2}, size: 3, mtime: timestamp{4, 5}}
	with := func(change func(*identity)) identity {
		other := file
		change(&other)
		return other
	}
	unborn := with(func(i *identity) { i.born = timestamp{} })
	for name, test := range map[string]struct {
		a, b identity
		want bool
	}{
		"itself":                     {file, file, true},
		"written to":                 {file, with(func(i *identity) { i.size, i.mtime = 9, timestamp{9, 9} }), true},
		"born later":                 {file, with(func(i *identity) { i.born.nsec++ }), false},
		"another kind":               {file, with(func(i *identity) { i.kind = unix.S_IFLNK }), false},
		"no births":                  {unborn, unborn, true},
		"one birth":                  {file, unborn, true},
		"no births, another size":    {unborn, with(func(i *identity) { i.born, i.size = timestamp{}, 4 }), false},
		"no births, another time":    {unborn, with(func(i *identity) { i.born, i.mtime.nsec = timestamp{}, 6 }), false},
		"one birth and another size": {file, with(func(i *identity) { i.born, i.size = timestamp{}, 4 }), false},
	} {
		t.Run(name, func(t *testing.T) {
			if test.a.same(test.b) != test.want || test.b.same(test.a) != test.want {
				t.Errorf("%+v and %+v: want %t", test.a, test.b, test.want)
			}
		})
	}
}

// linkFinder is a visitor that remembers what each name is a link to.
type linkFinder map[string]string

func (f linkFinder) file(it item) (bool, error) {
	f[it.path] = it.link
	it.release()
	return true, nil
}

func (f linkFinder) note(string, WarningKind, error) {}

func (f linkFinder) excluded() {}

// names makes a file with two names, and returns its identity.
func names(t *testing.T, parent *directory, dir, first, second, content string) (fileID, identity) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, first), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(dir, first), filepath.Join(dir, second)); err != nil {
		t.Fatal(err)
	}
	st, err := lstatAt(parent.fd, first)
	if err != nil {
		t.Fatal(err)
	}
	return st.id, identityAt(parent.fd, first, &st)
}

func remove(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnInodeThatIsUsedAgainIsAnotherFile(t *testing.T) {
	for name, forget := range map[string]bool{"with the time of birth": false, "without it": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			parent := openDirectory(t, dir)
			f := linkFinder{}
			w := &walker{ctx: t.Context(), tree: &tree{exclude: &excluder{}}, visitor: f, links: map[fileID]firstName{}}
			visit := func(name string) {
				t.Helper()
				if err := w.entry(parent, name, "data/"+name, firstLook); err != nil {
					t.Fatal(err)
				}
			}
			old, before := names(t, parent, dir, "a1", "a2", "old")
			visit("a1")
			remove(t, dir, "a1", "a2")
			// File systems have coarse clocks: make files until there is one with another time of birth.
			reused, now := names(t, parent, dir, "b1", "b2", "the new one")
			for now.born == before.born && now.born != (timestamp{}) {
				remove(t, dir, "b1", "b2")
				reused, now = names(t, parent, dir, "b1", "b2", "the new one")
			}
			// Not all file systems use a number again at once, so it is made to look like that.
			first := w.links[old]
			if forget {
				first.file.born = timestamp{}
			}
			w.links = map[fileID]firstName{reused: first}
			visit("b1")
			visit("b2")
			want := linkFinder{"data/a1": "", "data/b1": "", "data/b2": "data/b1"}
			if diff := cmp.Diff(want, f); diff != "" {
				t.Errorf("links (-want +got):\n%s", diff)
			}
			if len(w.links) != 0 {
				t.Errorf("all names have been seen, but these are waited for: %+v", w.links)
			}
		})
	}
}

func TestLinkedFilesThatAreWrittenToStayLinked(t *testing.T) {
	dir := built(t, treetest.Dir{Entries: treetest.Entries{"log": treetest.File{}, "log.1": treetest.HardLink{To: "log"}}})
	parent := openDirectory(t, dir)
	st, err := lstatAt(parent.fd, "log")
	if err != nil {
		t.Fatal(err)
	}
	if identityAt(parent.fd, "log", &st).born == (timestamp{}) {
		t.Log("the file system keeps no times of birth: such files are archived once more")
		return
	}
	f := linkFinder{}
	w := &walker{ctx: t.Context(), tree: &tree{exclude: &excluder{}}, visitor: f, links: map[fileID]firstName{}}
	for _, name := range []string{"log", "log.1"} {
		if err := w.entry(parent, name, "data/"+name, firstLook); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "log"), []byte("a line"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if f["data/log.1"] != "data/log" {
		t.Errorf("log.1 is a link to %q", f["data/log.1"])
	}
}

func TestABigFileBornSinceTheWalkIsNotCut(t *testing.T) {
	dir := built(t, treetest.Dir{Entries: treetest.Entries{"log": treetest.File{Content: random(maxGrown+1, 1)}}})
	parent := openDirectory(t, dir)
	st, err := lstatAt(parent.fd, "log")
	if err != nil {
		t.Fatal(err)
	}
	want := Unreadable
	if identityAt(parent.fd, "log", &st).born == (timestamp{}) {
		want = Grew // It can't be known.
	}
	// The walk saw a small file, which last changed before this one was created in its place.
	st.size, st.ctime = 3, timestamp{sec: 1_000_000_000}
	var j journal
	_, ok := j.appendEntry(nil, &item{parent: parent, name: "log", path: "data/log", stat: st})
	if ok != (want == Grew) || len(j.warnings) != 1 || j.warnings[0].Kind != want {
		t.Errorf("archived %t, warnings %+v", ok, j.warnings)
	}
}
