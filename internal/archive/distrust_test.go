// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/treetest"
)

// TestADamagedFrameOfAFileThatChangesMeanwhile: the file was opened, as the group that its headers are in had changed, and
// its data was to be taken over with its hash. A part that is read from it after all, and isn't any more what it was, must
// not stand beside that hash.
func TestADamagedFrameOfAFileThatChangesMeanwhile(t *testing.T) {
	source := trusted(t, treetest.Entries{
		"a": treetest.File{Content: "before it"}, "b": treetest.File{Content: random(24<<20, 1)},
	})
	one := first(t, source)
	if err := os.WriteFile(filepath.Join(source.Path, "a"), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, chunks, _ := one.frames(t)
	flip(t, one.path, chunks[len(chunks)-1].offset+100)
	opts := once(func() { overwrite(t, filepath.Join(source.Path, "b"), 24<<20-5, "other") })
	opts.VerifyRuns = 1
	two := after(t, one.path, opts, source)
	if r := two.result.Reuse; r.Previous == "" || two.result.Summary.Warnings.Damaged == 0 {
		t.Errorf("%+v", r)
	}
}

// TestADamagedFrameOfALinkThatIsReplaced: further names of a symbolic link are links to an entry in a frame that must be
// made anew. That entry must lead where the names lead.
func TestADamagedFrameOfALinkThatIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "link")
	if err := os.Symlink("old", path); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, filepath.Join(dir, "another")); err != nil {
		t.Fatal(err)
	}
	it := item{parent: openDirectory(t, dir), name: "link", path: "data/link", stat: statOf(t, path)}
	assemble := func() error {
		f := newFrame()
		f.members = []member{{item: it, same: true}}
		f.trust(oldFrame{Frame: index.Frame{Stored: index.Alignment, Entries: 1}})
		return f.assemble()
	}
	if err := assemble(); err != nil {
		t.Errorf("the link stayed, and assembling failed: %v", err)
	}
	if err := errors.Join(os.Remove(path), os.Symlink("new", path)); err != nil {
		t.Fatal(err)
	}
	if distrusted := (*distrustedError)(nil); !errors.As(assemble(), &distrusted) {
		t.Error("the link was replaced, and the entry was made all the same")
	}
}
