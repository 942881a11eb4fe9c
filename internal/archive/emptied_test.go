// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"os"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
)

func TestASourceThatHeldFilesAndHoldsNoneIsIncomplete(t *testing.T) {
	type entries = treetest.Entries
	for _, test := range []struct {
		name    string
		held    bool
		tree    entries
		exclude []string
		emptied bool
	}{
		{"empty now", true, nil, nil, true},
		{"empty all along", false, nil, nil, false},
		{"with a file still", true, entries{"f": treetest.File{Content: "x"}}, nil, false},
		{"with an empty file", true, entries{"d": treetest.Dir{Entries: entries{"f": treetest.File{}}}}, nil, false},
		{"with anything but files", true, entries{
			"d": treetest.Dir{}, "l": treetest.Symlink{Target: "d"}, "p": treetest.FIFO{}, "s": treetest.Socket{},
		}, nil, true},
		{"with excluded files only", true, entries{"f.tmp": treetest.File{Content: "x"}}, []string{"*.tmp"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			full := Source{Name: "full", Path: built(t, treetest.Dir{Entries: entries{"f": treetest.File{}}}), HeldFiles: true}
			w := write(t, Options{Header: testHeader}, full, Source{
				Name: "data", Path: built(t, treetest.Dir{Entries: test.tree}), Exclude: test.exclude, HeldFiles: test.held,
			})
			var warnings []Warning
			for _, x := range w.warnings {
				if x.Kind != Skipped {
					warnings = append(warnings, x)
				}
			}
			var wantNames []string
			var wantWarnings []Warning
			var wantCounts WarningCounts
			if test.emptied {
				wantNames, wantCounts.Emptied = []string{"data"}, 1
				wantWarnings = []Warning{{Source: "data", Path: ".", Kind: Emptied, Err: emptiedText}}
			}
			if diff := cmp.Diff(wantWarnings, warnings, cmp.AllowUnexported(Warning{})); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			// What counts is what the archive itself says, to whoever reads it later.
			file, err := os.ReadFile(w.path)
			if err != nil {
				t.Fatal(err)
			}
			info, err := readInfo(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(w.result.Summary, info.Summary); diff != "" {
				t.Errorf("summary (-told +stored):\n%s", diff)
			}
			if info.Summary.Complete == test.emptied {
				t.Errorf("complete is %t", info.Summary.Complete)
			}
			if diff := cmp.Diff(wantCounts, info.Summary.Warnings); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(wantNames, info.Summary.Emptied()); diff != "" {
				t.Errorf("emptied sources (-want +got):\n%s", diff)
			}
		})
	}
}

func TestASourceThatCanNotBeReadIsNotCalledEmptied(t *testing.T) {
	if isRoot {
		asNobody(t, "TestASourceThatCanNotBeReadIsNotCalledEmptied")
		return
	}
	root := built(t, treetest.Dir{Entries: treetest.Entries{
		"file": treetest.File{Content: "x", Meta: treetest.Meta{Mode: 0o200}},
	}})
	w := write(t, Options{}, Source{Name: "data", Path: root, HeldFiles: true})
	want := WarningCounts{Unreadable: 1}
	if s := w.result.Summary; s.Complete || s.Warnings != want || s.Emptied() != nil {
		t.Errorf("summary %+v", s)
	}
}
