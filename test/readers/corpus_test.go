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

// write makes an archive of the tree at root, as a run does.
func write(t *testing.T, root string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive.tar.zst")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	sources := []archive.Source{{Name: "data", Path: root}}
	if _, err := archive.Write(t.Context(), file, sources, archive.Options{}); err != nil {
		t.Fatalf("write archive: %v", err)
	}
	return path
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

// TestStockReadersRestoreTheCorpus holds each reader to an equal tree, in all that it doesn't lose by its nature.
func TestStockReadersRestoreTheCorpus(t *testing.T) {
	need, restored := needed{}, 0
	for name, tree := range treetest.Corpus() {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "source")
			treetest.Build(t, root, tree)
			path := write(t, root)
			for name, reader := range readers {
				t.Run(name, func(t *testing.T) {
					reader.check(t, root, path, need.of(name))
					restored++
				})
			}
		})
	}
	if restored < len(treetest.Corpus())*len(readers) {
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
func (r reader) check(t *testing.T, root, archive string, need map[string]bool) {
	target := t.TempDir()
	said, err := r.restore(archive, target)
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
