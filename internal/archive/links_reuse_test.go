// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"os"
	"path/filepath"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
)

// TestLinksResolveWhateverBecameOfTheFirstName: the second name is in a group of its own, which could be taken over.
func TestLinksResolveWhateverBecameOfTheFirstName(t *testing.T) {
	for _, size := range []int{10, smallFile + 10} {
		for name, change := range map[string]func(t *testing.T, at func(string) string) error{
			"nothing": func(*testing.T, func(string) string) error { return nil },
			"written to": func(t *testing.T, at func(string) string) error {
				overwrite(t, at("a/first"), 0, "changed")
				return nil
			},
			"vanished": func(_ *testing.T, at func(string) string) error { return os.Remove(at("a/first")) },
			"moved":    func(_ *testing.T, at func(string) string) error { return os.Rename(at("a/first"), at("a/fourth")) },
			"moved behind": func(_ *testing.T, at func(string) string) error {
				return os.Rename(at("a/first"), at("z/fourth"))
			},
			// No time of the file moves, and the first name is another one now.
			"moved with its directory": func(_ *testing.T, at func(string) string) error { return os.Rename(at("a"), at("p2")) },
			"its group changed": func(_ *testing.T, at func(string) string) error {
				return os.WriteFile(at("a/firs"), []byte("before it"), 0o600)
			},
			"another file now": func(_ *testing.T, at func(string) string) error {
				if err := os.Remove(at("a/first")); err != nil {
					return err
				}
				return os.WriteFile(at("a/first"), []byte("another"), 0o600)
			},
			"a link into another group": func(_ *testing.T, at func(string) string) error {
				return os.Link(at("z/third"), at("a/before"))
			},
		} {
			t.Run(name, func(t *testing.T) {
				source := trusted(t, treetest.Entries{
					"a": treetest.Dir{Entries: treetest.Entries{"first": treetest.File{Content: random(size, 1)}}},
					"m": treetest.File{Content: random(smallFile+1, 2)}, // A big file ends a group.
					"p": treetest.Dir{Entries: treetest.Entries{"second": treetest.HardLink{To: "a/first"}}},
					"q": treetest.File{Content: random(smallFile+1, 3)},
					"z": treetest.Dir{Entries: treetest.Entries{"third": treetest.HardLink{To: "a/first"}}},
				})
				one := first(t, source)
				if err := change(t, func(p string) string { return filepath.Join(source.Path, p) }); err != nil {
					t.Fatal(err)
				}
				two := after(t, one.path, Options{}, source)
				target := t.TempDir()
				run(t, "tar", "--zstd", "-xpf", two.path, "-C", target)
				treetest.AssertEqual(t, source.Path, filepath.Join(target, "data"))
			})
		}
	}
}

// TestAPromisedFirstNameThatIsGoneIsReplaced: the walk saw that a file with two names was unchanged, and so did not read
// it; then its group turned out to have changed, and the file wasn't there any more.
func TestAPromisedFirstNameThatIsGoneIsReplaced(t *testing.T) {
	entries := treetest.Entries{
		"a": treetest.File{Content: "a"}, "b": treetest.File{Content: "linked"},
		"c": treetest.HardLink{To: "b"}, "d": treetest.HardLink{To: "b"}, "e": treetest.HardLink{To: "b"},
	}
	for name, test := range map[string]struct {
		gone   []string
		flush  string // the group ends before this name
		want   map[string]string
		warned map[string]WarningKind
	}{
		"none": {nil, "", map[string]string{"data/a": "", "data/b": "", "data/c": "data/b", "data/d": "data/b", "data/e": "data/b"}, nil},
		"the first": {[]string{"b"}, "",
			map[string]string{"data/a": "", "data/c": "", "data/d": "data/c", "data/e": "data/c"}, map[string]WarningKind{"b": Vanished}},
		"the first, and the group ended": {[]string{"b"}, "c",
			map[string]string{"data/a": "", "data/c": "", "data/d": "data/c", "data/e": "data/c"}, map[string]WarningKind{"b": Vanished}},
		"two": {[]string{"b", "c"}, "",
			map[string]string{"data/a": "", "data/d": "", "data/e": "data/d"}, map[string]WarningKind{"b": Vanished, "c": Vanished}},
		"two, in two groups": {[]string{"b", "c"}, "d",
			map[string]string{"data/a": "", "data/d": "", "data/e": "data/d"}, map[string]WarningKind{"b": Vanished, "c": Vanished}},
	} {
		t.Run(name, func(t *testing.T) {
			source := trusted(t, entries)
			found, warned := map[string]string{}, map[string]WarningKind(nil)
			previous := opened(t, first(t, source).path)
			if err := os.WriteFile(filepath.Join(source.Path, "a"), []byte("changed"), 0o600); err != nil {
				t.Fatal(err)
			}
			g := &grouper{
				old:     previous.cursorOf("data", func(err error) { t.Error(err) }),
				acquire: func() (*frame, error) { return newFrame(), nil },
				submit: func(f *frame) {
					if err := f.assemble(); err != nil {
						t.Error(err)
					}
					for _, e := range f.entries {
						found[e.Path] = e.Link
					}
					for path, kind := range kinds(f.warnings) {
						if warned == nil {
							warned = map[string]WarningKind{}
						}
						warned[path] = kind
					}
					f.release()
				},
			}
			visit(t, g, source.Path, test.gone, test.flush)
			if diff := cmp.Diff(test.want, found); diff != "" {
				t.Errorf("links (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.warned, warned); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// opened is an archive to take frames over from.
func opened(t *testing.T, path string) *previous {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	p := openPrevious(f, DefaultLevel)
	if p == nil {
		t.Fatal("the archive can't be used")
	}
	t.Cleanup(p.close)
	return p
}

// visit shows the files in a directory to a grouper as a walk does, the last four as names of one file. Some are gone
// after the walk has looked at them; the group ends before one of them.
func visit(t *testing.T, g *grouper, dir string, gone []string, flush string) {
	t.Helper()
	parent := openDirectory(t, dir)
	vs := newVolumes(later, func(int) error { return nil })
	v := vs.enter(parent.fd, statOf(t, dir).id.dev)
	items := map[string]item{}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		it := item{parent: parent.use(), name: name, path: "data/" + name, stat: statOf(t, filepath.Join(dir, name)), volume: v}
		if name > "b" {
			it.link = "data/b"
		}
		items[name] = it
	}
	removed := false
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		if name == flush || flush == "" && name == "d" {
			remove(t, dir, gone...)
			removed = true
			if name == flush {
				g.flush()
			}
		}
		if _, err := g.file(items[name]); err != nil {
			t.Fatal(err)
		}
	}
	if !removed {
		t.Fatal("nothing was removed")
	}
	g.flush()
}
