// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
)

// written is an archive with its sidecar.
type written struct {
	path, sums string
	result     archive.Result
}

// write makes an archive of the tree at root, as a run does, with an earlier archive if there is one.
func write(t *testing.T, root string, previous *written) *written {
	t.Helper()
	dir := t.TempDir()
	w := &written{path: filepath.Join(dir, "archive.tar.zst"), sums: filepath.Join(dir, "archive.tar.zst.sha256")}
	var options archive.Options
	if previous != nil {
		options.Previous = open(t, previous.path)
	}
	file, sums := create(t, w.path), create(t, w.sums)
	options.Checksums = sums
	var err error
	sources := []archive.Source{{Name: "data", Path: root}}
	if w.result, err = archive.Write(t.Context(), file, sources, options); err != nil {
		t.Fatalf("write archive: %v", err)
	}
	return w
}

func create(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// taken is a snapshot without sockets, which no archive keeps.
func taken(t *testing.T, root string) treetest.Snapshot {
	t.Helper()
	snapshot, err := treetest.Take(root)
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(snapshot, func(_ string, facts treetest.Facts) bool { return facts.Type == "socket" })
	return snapshot
}

// needed are the losses of each reader without which a tree wasn't restored.
type needed map[string]map[string]bool

// TestStockReadersRestoreTheCorpus holds each reader to an equal tree, in all that it doesn't lose by its nature: from a
// first archive, and from one that was made by reuse after some of the tree had changed.
func TestStockReadersRestoreTheCorpus(t *testing.T) {
	need, trees, wanted, restored := needed{}, treetest.Corpus(), 0, 0
	for name, tree := range trees {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "source")
			treetest.Build(t, root, tree)
			var previous *written
			for _, which := range []string{"first", "second"} {
				if previous != nil {
					treetest.Change(t, root)
				}
				previous = write(t, root, previous)
				for reader, r := range readers {
					if r.variant && name != "everything" {
						continue
					}
					wanted++
					t.Run(which+"/"+reader, func(t *testing.T) {
						r.check(t, root, previous, need.of(reader))
						restored++
					})
				}
			}
			delete(trees, name)
			// Trees that are in one or two frames have changed altogether.
			if reuse := previous.result.Reuse; reuse.ReusedBytes == 0 && reuse.NewBytes > 16<<10 {
				t.Errorf("nothing was reused: %+v", reuse)
			}
		})
	}
	if len(trees) > 0 || restored < wanted {
		return // Only some of it was asked for.
	}
	for name, reader := range readers {
		for _, loss := range reader.losses {
			if !need[name][loss.what] {
				t.Errorf("%s is said to lose %s, but it doesn't", name, loss.what)
			}
		}
	}
}

func (n needed) of(reader string) map[string]bool {
	if n[reader] == nil {
		n[reader] = map[string]bool{}
	}
	return n[reader]
}

// check restores an archive of the tree at root and compares.
func (r reader) check(t *testing.T, root string, w *written, need map[string]bool) {
	target := t.TempDir()
	said, err := r.restore(w.path, target)
	if err != nil || said != "" {
		t.Errorf("%v\n%s", err, said)
	}
	want, got := taken(t, root), taken(t, restored(target))
	if diff := r.difference(want, got, ""); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, loss := range r.losses {
		if !need[loss.what] && r.difference(want, got, loss.what) != "" {
			need[loss.what] = true
		}
	}
}

// difference is what differs, but for the losses other than the given one.
func (r reader) difference(want, got treetest.Snapshot, but string) string {
	want, got = cloned(want), cloned(got)
	for _, loss := range r.losses {
		if loss.what != but {
			loss.forgive(want, got)
		}
	}
	return cmp.Diff(want, got)
}

func cloned(s treetest.Snapshot) treetest.Snapshot {
	s = maps.Clone(s)
	for path, facts := range s {
		facts.Xattrs = maps.Clone(facts.Xattrs)
		s[path] = facts
	}
	return s
}
