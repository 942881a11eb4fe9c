// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
)

func TestExcludePatterns(t *testing.T) {
	tests := []struct {
		pattern string
		match   []string // a trailing slash is a directory's
		not     []string
	}{
		{"*.tmp", []string{"a.tmp", "d/e/a.tmp", "d.tmp/"}, []string{"a.tmp.x", "d.tmp/x"}},
		{"cache", []string{"cache", "d/cache/"}, []string{"cache2", "cache/x"}},
		{"cache/", []string{"cache/", "d/cache/"}, []string{"cache", "d/cache"}},
		{"/cache", []string{"cache", "cache/"}, []string{"d/cache"}},
		{"cache/**", []string{"cache/x", "cache/d/", "cache/d/x"}, []string{"cache/", "d/cache/x", "cache2/x"}},
		{"a/*.log", []string{"a/x.log"}, []string{"a/b/x.log", "x.log", "b/a/x.log"}},
		{"**/tmp/*", []string{"tmp/x", "a/b/tmp/x"}, []string{"tmp/", "tmp/a/x"}},
		{"{a,b}?", []string{"ab", "b1", "d/a\xff"}, []string{"a", "cd", "abc"}},
		{"[!a]", []string{"b"}, []string{"a"}},
		{`\*`, []string{"*"}, []string{"x"}},
		{"\xff*", []string{"\xffx"}, []string{"x"}},
	}
	for _, test := range tests {
		x, err := newExcluder("data", []string{test.pattern})
		if err != nil {
			t.Errorf("%q: %v", test.pattern, err)
			continue
		}
		for want, names := range map[bool][]string{true: test.match, false: test.not} {
			for _, name := range names {
				rel, directory := strings.CutSuffix(name, "/")
				if got := x.match(rel, path.Base(rel), directory); got != want {
					t.Errorf("%q against %q: got %t, want %t", test.pattern, name, got, want)
				}
			}
		}
	}
}

func TestInvalidExcludePatterns(t *testing.T) {
	for _, pattern := range []string{"", "/", "//", "[a", "{a", `a\`, "../a", "a/../b", "a//b", "./a", "."} {
		_, err := newExcluder("data", []string{"fine", pattern})
		if !errors.Is(err, ErrInvalidExclude) || !strings.Contains(err.Error(), "data") {
			t.Errorf("%q: got error %v", pattern, err)
		}
	}
}

func TestExcludedDirectoryIsLeftOutWithAllBelowIt(t *testing.T) {
	files := treetest.Entries{"x": treetest.File{}, "y.tmp": treetest.File{}}
	root := built(t, treetest.Dir{Entries: treetest.Entries{
		"keep": treetest.Dir{Entries: files}, "out": treetest.Dir{Entries: files}, "cache": treetest.Dir{Entries: files},
	}})
	w := write(t, Options{}, Source{Name: "data", Path: root, Exclude: []string{"out", "*.tmp", "cache/**"}})
	want := []string{"data/", "data/cache/", "data/keep/", "data/keep/x"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(w.members(t)))); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	if got := w.result.Summary.Excluded; got != 4 {
		t.Errorf("%d excluded, want 4: out, cache/x, cache/y.tmp, keep/y.tmp", got)
	}
	if !w.result.Summary.Complete || len(w.warnings) > 0 {
		t.Errorf("what is excluded was reported: %+v", w.warnings)
	}
}
