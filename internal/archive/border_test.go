// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// grouped cuts entries into groups and returns the last path of each, and the sizes.
func grouped(paths []string, sizes map[string]int64) (ends map[string]bool, groups []int64) {
	var g grouping
	ends = map[string]bool{}
	parent := &directory{}
	for _, path := range paths {
		it := item{path: path, parent: parent, stat: stat{mode: unix.S_IFREG, size: sizes[path], nlink: 1}}
		size := g.size + streamSize(&it)
		if g.add(&it) {
			ends[path] = true
			groups = append(groups, size)
		}
	}
	return ends, groups
}

func TestBordersFollowTheContent(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var paths []string
	sizes := map[string]int64{}
	for i := range 20_000 {
		path := fmt.Sprintf("data/file-%06d", i)
		paths = append(paths, path)
		sizes[path] = int64(r.ExpFloat64() * 14_000)
	}
	before, _ := grouped(paths, sizes)
	var kept []string
	gone := 0
	for i, path := range paths {
		if i%1000 == 500 {
			gone++
			continue
		}
		kept = append(kept, path)
	}
	after, _ := grouped(kept, sizes)
	moved := 0
	for path := range before {
		if !after[path] {
			moved++
		}
	}
	// An entry that is gone moves the next border or two, until the groups fall into step.
	if len(before) < 400 || moved > 4*gone {
		t.Errorf("%d of %d borders moved when %d entries went", moved, len(before), gone)
	}
}

func TestSizesOfGroups(t *testing.T) {
	for name, size := range map[string]func(*rand.Rand) int64{
		"empty files": func(*rand.Rand) int64 { return 0 },
		"small files": func(r *rand.Rand) int64 { return r.Int64N(30_000) },
		"all sizes":   func(r *rand.Rand) int64 { return r.Int64N(smallFile) },
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			var paths []string
			sizes := map[string]int64{}
			for i := range 50_000 {
				path := fmt.Sprintf("data/%d", i)
				paths = append(paths, path)
				sizes[path] = size(r)
			}
			_, groups := grouped(paths, sizes)
			total := int64(0)
			for _, n := range groups {
				total += n
				if n < minGroup || n > maxGroup+smallFile+headerEstimate+100 {
					t.Errorf("a group of %d bytes", n)
				}
			}
			if average := total / int64(len(groups)); average < 192<<10 || average > 384<<10 {
				t.Errorf("groups of %d bytes on average", average)
			}
		})
	}
}

func TestWhatElseEndsAGroup(t *testing.T) {
	parent := &directory{}
	file := func(size int64) *item {
		return &item{path: "data/x", parent: parent, stat: stat{mode: unix.S_IFREG, size: size, nlink: 1}}
	}
	var g grouping
	if g.add(file(1)) || !g.add(file(smallFile+1)) || g != (grouping{}) {
		t.Error("a big file's headers don't end the group")
	}
	link := file(smallFile + 1)
	link.link = "data/first"
	if g.add(link) {
		t.Error("a further name of a big file ends the group")
	}
	g = grouping{}
	for i := range groupDirectories {
		it := file(0)
		it.parent = &directory{fd: i}
		if end := g.add(it); end != (i == groupDirectories-1) {
			t.Fatalf("group ends after %d directories: %t", i+1, end)
		}
	}
	// All of the names must fit into a block of the index.
	long := file(0)
	long.path = string(make([]byte, maxGroup))
	if !g.add(long) {
		t.Error("a path as long as a group doesn't end one")
	}
}

func TestARunOfOldEntries(t *testing.T) {
	frame := oldFrame{offset: 4096}
	frame.Stored, frame.Entries = 4096, 2
	other := frame
	other.offset = 8192
	type step struct {
		old         oldEntry
		found, same bool
	}
	first, second := step{oldEntry{frame: frame}, true, true}, step{oldEntry{frame: frame, ordinal: 1}, true, true}
	changed := func(s step) step {
		s.same = false
		return s
	}
	for name, test := range map[string]struct {
		steps     []step
		whole     bool
		candidate bool // to be compared with
	}{
		"all":                 {[]step{first, second}, true, true},
		"nothing":             {nil, false, false},
		"not all":             {[]step{first}, false, true},
		"one more":            {[]step{first, second, {oldEntry{frame: other}, true, true}}, false, true},
		"a new one first":     {[]step{{}, first, second}, false, false},
		"a new one between":   {[]step{first, {}, second}, false, true},
		"a new one last":      {[]step{first, second, {}}, false, true},
		"the first changed":   {[]step{changed(first), second}, false, true},
		"the last changed":    {[]step{first, changed(second)}, false, true},
		"the second only":     {[]step{second}, false, false},
		"one twice":           {[]step{first, first}, false, true},
		"of different frames": {[]step{first, {oldEntry{frame: other, ordinal: 1}, true, true}}, false, true},
	} {
		var r oldRun
		for _, s := range test.steps {
			r.add(s.old, s.found, s.same)
		}
		if r.isWhole() != test.whole || (r.first.Stored > 0) != test.candidate {
			t.Errorf("%s: whole %t, to be compared with %+v", name, r.isWhole(), r.first)
		}
	}
}
