// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// replace renames one file over another.
func replace(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Error(err)
	}
}

func TestRenamedOverFilesAreArchived(t *testing.T) {
	root := built(t, treetest.Dir{Entries: treetest.Entries{
		"a":    treetest.File{Content: random(32<<20, 1)},
		"file": treetest.File{Content: "old"}, "link": treetest.File{Content: "old"}, "was-link": treetest.Symlink{Target: "a"},
	}})
	with := built(t, treetest.Dir{Entries: treetest.Entries{
		"file": treetest.File{Content: random(maxGrown, 2)}, "link": treetest.Symlink{Target: "/etc/shadow"},
		"was-link": treetest.File{Content: "new"},
	}})
	w := write(t, once(func() {
		for _, name := range []string{"file", "link", "was-link"} {
			replace(t, filepath.Join(with, name), filepath.Join(root, name))
		}
	}), Source{Name: "data", Path: root})
	got := w.members(t)
	delete(got, "data/a")
	want := map[string]string{"data/": "", "data/file": random(maxGrown, 2), "data/link": "", "data/was-link": "new"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("what took the places of files isn't in the archive")
	}
	s := w.result.Summary
	if !s.Complete || s.Warnings.Total() != 0 || s.Symlinks != 1 || s.Files != 3 {
		t.Errorf("summary %+v, warnings %+v", s, w.warnings)
	}
}

func TestReplacedFilesAreArchivedAndNotFollowed(t *testing.T) {
	dir := t.TempDir()
	treetest.Build(t, dir, treetest.Dir{Entries: treetest.Entries{
		"secret": treetest.File{Content: "secret"},
		"source": treetest.Dir{Entries: treetest.Entries{
			"link": treetest.Symlink{Target: "../secret"}, "pipe": treetest.FIFO{}, "dir": treetest.Dir{},
			"file": treetest.File{Content: "longer than it was"}, "big": treetest.Sparse{Size: maxGrown + 1},
			"socket": treetest.Socket{},
		}},
	}})
	parent := openDirectory(t, filepath.Join(dir, "source"))
	// What the walk saw when it came by, what is there now, and what becomes of it: an entry or a warning.
	tests := []struct {
		saw  uint32
		now  string
		want byte
		warn WarningKind
	}{
		{unix.S_IFREG, "link", tar.TypeSymlink, ""}, {unix.S_IFREG, "pipe", tar.TypeFifo, ""},
		{unix.S_IFREG, "dir", 0, Unreadable}, {unix.S_IFREG, "nothing", 0, Vanished},
		{unix.S_IFREG, "socket", 0, Skipped}, {unix.S_IFREG, "big", 0, Unreadable},
		{unix.S_IFREG, "file", tar.TypeReg, ""}, {unix.S_IFLNK, "file", tar.TypeReg, ""},
		{unix.S_IFLNK, "pipe", tar.TypeFifo, ""}, {unix.S_IFLNK, "nothing", 0, Vanished},
		{unix.S_IFLNK, "big", 0, Unreadable},
	}
	for _, test := range tests {
		t.Run(test.now, func(t *testing.T) {
			var j journal
			out, ok := j.appendEntry(nil, &item{parent: parent, name: test.now, path: "data/" + test.now, stat: stat{mode: test.saw, size: 10}})
			var warned WarningKind
			for _, w := range j.warnings {
				warned += w.Kind
			}
			if ok != (test.want != 0) || warned != test.warn {
				t.Fatalf("archived %t, warnings %+v", ok, j.warnings)
			}
			if !ok {
				if len(out) > 0 {
					t.Errorf("%d bytes of an entry that isn't there", len(out))
				}
				return
			}
			r := tar.NewReader(bytes.NewReader(out))
			h, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if h.Typeflag != test.want || h.Typeflag == tar.TypeReg && string(content) != "longer than it was" {
				t.Errorf("type %c, content %q", h.Typeflag, content)
			}
		})
	}
}

// placed is what becomes of an item that the walk hands over when the name leads to something else by then.
func placed(t *testing.T, dir, name string, saw stat) (archived bool, members, chunks int, warnings []Warning) {
	t.Helper()
	parent := openDirectory(t, dir)
	g := &grouper{
		acquire: func() (*frame, error) { return newFrame(), nil },
		submit: func(f *frame) {
			members += len(f.members)
			warnings = append(warnings, f.warnings...)
			if f.chunk.content != nil {
				chunks++
			}
			f.release()
		},
	}
	archived, err := g.file(item{parent: parent.use(), name: name, path: "data/" + name, stat: saw})
	if err != nil {
		t.Fatal(err)
	}
	g.flush()
	return archived, members, chunks, warnings
}

func TestReplacedWhileTheWalkWaits(t *testing.T) {
	dir := built(t, treetest.Dir{Entries: treetest.Entries{
		"link": treetest.Symlink{Target: "big"}, "small": treetest.File{Content: "x"},
		"big": treetest.File{Content: random(maxGrown+1, 1)}, "dir": treetest.Dir{},
	}})
	big := stat{mode: unix.S_IFREG, nlink: 1, size: smallFile + 1, id: fileID{1, 1}}
	linked := stat{mode: unix.S_IFREG, nlink: 2, size: 1, id: fileID{1, 1}}
	for _, test := range []struct {
		name            string
		saw             stat
		now             string
		members, chunks int
		warn            WarningKind
	}{
		{"a big file by a link", big, "link", 1, 0, ""},
		{"a big file by a small one", big, "small", 1, 1, ""},
		{"a big file by a directory", big, "dir", 0, 0, Unreadable},
		{"a big file by nothing", big, "nothing", 0, 0, Vanished},
		{"a linked file by a link", linked, "link", 1, 0, ""},
		{"a linked file by another one", linked, "small", 1, 0, ""},
		{"a linked file by a big one", linked, "big", 1, 5, ""},
		{"a linked link by a big file", stat{mode: unix.S_IFLNK, nlink: 2, size: 1, id: fileID{1, 1}}, "big", 1, 5, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			archived, members, chunks, warnings := placed(t, dir, test.now, test.saw)
			if archived {
				t.Error("further names of the file that was replaced would be links to the new one")
			}
			var kind WarningKind
			for _, w := range warnings {
				kind += w.Kind
			}
			if members != test.members || chunks != test.chunks || kind != test.warn {
				t.Errorf("%d entries, %d chunks, warnings %+v", members, chunks, warnings)
			}
		})
	}
}

func TestFilesThatAreStillThereCanBeLinkedTo(t *testing.T) {
	dir := built(t, treetest.Dir{Entries: treetest.Entries{
		"file": treetest.File{Content: "x"}, "file2": treetest.HardLink{To: "file"},
		"link": treetest.Symlink{Target: "x"}, "link2": treetest.HardLink{To: "link"},
		"big": treetest.File{Content: random(smallFile+1, 1)}, "big2": treetest.HardLink{To: "big"},
	}})
	parent := openDirectory(t, dir)
	for _, name := range []string{"file", "link", "big"} {
		saw, err := lstatAt(parent.fd, name)
		if err != nil {
			t.Fatal(err)
		}
		if archived, members, _, warnings := placed(t, dir, name, saw); !archived || members != 1 || warnings != nil {
			t.Errorf("%s: archived %t, %d entries, warnings %+v", name, archived, members, warnings)
		}
	}
}

// finder is a visitor that remembers what it is told.
type finder struct {
	found  map[string]uint32 // types by path
	warned map[string]WarningKind
}

func newFinder() *finder {
	return &finder{found: map[string]uint32{}, warned: map[string]WarningKind{}}
}

func (f *finder) file(it item) (bool, error) {
	f.found[it.path] = it.stat.kind()
	it.release()
	return true, nil
}

func (f *finder) note(path string, kind WarningKind, _ error) { f.warned[path] = kind }

func (f *finder) excluded() {}

func TestReplacedDirectoriesAreLookedAtAgain(t *testing.T) {
	dir := built(t, treetest.Dir{Entries: treetest.Entries{
		"file": treetest.File{}, "link": treetest.Symlink{Target: "."}, "dir": treetest.Dir{},
	}})
	parent := openDirectory(t, dir)
	for name, test := range map[string]struct {
		look   look
		found  map[string]uint32
		warned map[string]WarningKind
	}{
		"file":    {firstLook, map[string]uint32{"data/file": unix.S_IFREG}, map[string]WarningKind{}},
		"link":    {firstLook, map[string]uint32{"data/link": unix.S_IFLNK}, map[string]WarningKind{}},
		"nothing": {firstLook, map[string]uint32{}, map[string]WarningKind{"data/nothing": Vanished}},
		// The name changed from directory to file twice: nobody knows what is there next.
		"./file": {secondLook, map[string]uint32{}, map[string]WarningKind{"data/./file": Unreadable}},
		"./link": {secondLook, map[string]uint32{}, map[string]WarningKind{"data/./link": Unreadable}},
		"dir":    {secondLook, map[string]uint32{"data/dir": unix.S_IFDIR}, map[string]WarningKind{}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFinder()
			w := &walker{
				ctx: t.Context(), tree: &tree{exclude: &excluder{}}, visitor: f, buf: make([]byte, 4096), links: map[fileID]firstName{},
			}
			if err := w.subdirectory(parent, name, "data/"+name, stat{mode: unix.S_IFDIR}, test.look); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.found, f.found); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.warned, f.warned); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNamesThatGoOnChangingAreUnreadable(t *testing.T) {
	dir := built(t, treetest.Dir{Entries: treetest.Entries{"name": treetest.File{}}})
	it := item{parent: openDirectory(t, dir), name: "name", path: "data/name"}
	tries := 0
	err := it.tryTwice(func() error {
		tries++
		return unix.ELOOP
	})
	var j journal
	j.noteError(it.path, err)
	if !errors.Is(err, unix.ELOOP) || tries != 2 || j.warnings[0].Kind != Unreadable {
		t.Errorf("error %v after %d tries, warnings %+v", err, tries, j.warnings)
	}
}
