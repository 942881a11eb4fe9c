// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/treetest"
)

// damaged is an archive of a tree with many groups of files, a big file, and links to both.
func damaged(t *testing.T) (backup, []byte) {
	t.Helper()
	tree := entries{
		"big":   file{Content: random(5<<20, 200)},
		"link":  treetest.HardLink{To: "big"},
		"later": file{Content: random(2<<20, 201)},
	}
	for _, name := range strings.Split("abcdefghijkl", "") {
		tree[name] = dir{Meta: meta{Mode: 0o750}, Entries: entries{
			"1": file{Content: random(200<<10, uint64(name[0]))}, "2": file{Content: random(200<<10, uint64(name[0]+100))},
			"3": treetest.HardLink{To: name + "/2"}, "4": treetest.Symlink{Target: "1"},
		}}
	}
	b := backedUp(t, dir{Entries: tree})
	content, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	return b, content
}

// reopen opens an archive's bytes.
func reopen(t testing.TB, content []byte) *archive.Archive {
	t.Helper()
	a, err := archive.Open(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestADamagedFrameCostsWhatIsInIt damages each frame in turn.
func TestADamagedFrameCostsWhatIsInIt(t *testing.T) {
	b, content := damaged(t)
	var block index.Block
	if err := b.archive.ReadBlock(0, &block); err != nil {
		t.Fatal(err)
	}
	offset, first, last := b.archive.Blocks()[0].Data, 0, ""
	for _, f := range block.Frames {
		concerned, lost := map[string]bool{}, false
		for _, e := range block.Entries[first : first+f.Entries] {
			concerned[e.Path], last = true, e.Path
			// What a hard link is stands in the index.
			lost = lost || e.Type != index.HardLink
		}
		if f.Entries == 0 && f.Content > endOfStream {
			concerned[last], lost = true, true
		}
		content[offset+5] ^= 1
		target := filepath.Join(t.TempDir(), "t")
		got, err := restoreInto(t, reopen(t, content), Options{Targets: map[string]string{"data": target}})
		content[offset+5] ^= 1
		if err != nil || got.Complete() == lost {
			t.Errorf("frame at %d: %+v, %v", offset, got.Result, err)
		}
		assertOnlyLost(t, b, target, concerned, got)
		offset, first = offset+f.Stored, first+f.Entries
	}
}

// assertOnlyLost fails if something else is missing than what is concerned and links to it, or isn't told.
func assertOnlyLost(t *testing.T, b backup, target string, concerned map[string]bool, got ran) {
	t.Helper()
	links := map[string]string{}
	for _, name := range strings.Split("abcdefghijkl", "") {
		links["data/"+name+"/3"] = "data/" + name + "/2"
	}
	links["data/link"] = "data/big"
	isLost := func(p string) bool {
		path := "data/" + p
		if p == "" {
			path = "data"
		}
		if first, ok := links[path]; ok {
			// A link needs its first name, and not its own header.
			return concerned[first]
		}
		return concerned[path]
	}
	treetest.AssertEqualBut(t, b.root, target, func(p string) bool {
		// The names of what is lost are missing in the facts of the others.
		return isLost(p) || slices.ContainsFunc(pathsOf(links, p), isLost)
	})
	for path := range concerned {
		if _, isLink := links[path]; !isLink && !got.warned(Lost, path) && !got.warned(Partial, path) {
			t.Errorf("%q isn't named:\n%s", path, got.text())
		}
	}
}

// pathsOf are the names of the same file.
func pathsOf(links map[string]string, p string) []string {
	var list []string
	for name, first := range links {
		if first == "data/"+p || name == "data/"+p {
			list = append(list, strings.TrimPrefix(name, "data/"), strings.TrimPrefix(first, "data/"))
		}
	}
	return list
}

// TestADamagedIndexCostsNothing damages one block of the index of an archive with several sources: the frames are whole.
func TestADamagedIndexCostsNothing(t *testing.T) {
	var sources []archive.Source
	for _, name := range []string{"one", "three", "two"} {
		root := filepath.Join(t.TempDir(), "source")
		treetest.Build(t, root, library())
		sources = append(sources, archive.Source{Name: name, Path: root})
	}
	path, a := archived(t, sources...)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[a.Blocks()[1].Offset+60] ^= 1
	target := t.TempDir()
	got, err := restoreInto(t, reopen(t, content), Options{Target: target})
	if err != nil || got.Complete() || got.Lost > 0 || !got.warned(Damaged, "three") {
		t.Errorf("%+v, %v\n%s", got.Result, err, got.text())
	}
	treetest.AssertEqual(t, sources[0].Path, target+"/one")
	treetest.AssertEqual(t, sources[1].Path, target+"/three")
	treetest.AssertEqual(t, sources[2].Path, target+"/two")
	if err := Entries(t.Context(), reopen(t, content), nil, nil, func(*index.Entry) error { return nil }); !isDamage(err) {
		t.Errorf("the list says %v", err)
	}
}

// TestABlockLostInTheMiddle loses the entries of directories whose content is in the next block: its part of the index
// and its frame are damaged.
func TestABlockLostInTheMiddle(t *testing.T) {
	forged := newForgery().
		add(t, directoryEntry("data"), regular("data/a", "a"), continued("data/big", func(*forgedEntry) {})).
		add(t, directoryEntry("data/d"), regular("data/d/1", "1")).
		add(t, regular("data/d/2", "2"), directoryEntry("data/e"), regular("data/e/3", "3")).
		finish(t)
	blocks := openForged(t, forged).Blocks()
	forged[blocks[1].Offset+60] ^= 1
	forged[blocks[1].Data+20] ^= 1
	target := t.TempDir()
	got, err := restoreInto(t, openForged(t, forged), Options{Target: target})
	if err != nil || got.Lost != 2 || got.Files != 4 {
		t.Errorf("%+v, %v\n%s", got.Result, err, got.text())
	}
	if diff := strings.Join(pathsIn(t, target+"/data"), " "); diff != "a big d d/2 e e/3" {
		t.Errorf("there are %s", diff)
	}
}
