// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
)

func TestMeasureEstimatesTheArchive(t *testing.T) {
	lines := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "2026-11-22T05:00:%02d session %d opened by user%d from 10.0.%d.%d\n", i%60, i*7919, i%83, i%7, i%251)
		}
		return b.String()
	}
	many := treetest.Entries{}
	for i := range 800 {
		many[fmt.Sprint("file", i)] = treetest.File{Content: lines(i % 120)}
	}
	tests := map[string]treetest.Entries{
		"empty":        {},
		"tiny":         {"a": treetest.File{Content: "a"}},
		"small files":  many,
		"a log":        {"log": treetest.File{Content: lines(600_000)}},
		"a recording":  {"rec": treetest.File{Content: random(40<<20, 1)}},
		"a hole":       {"hole": treetest.Sparse{Size: 1 << 40}},
		"sparse":       {"sparse": treetest.Sparse{Size: 1 << 40, Data: map[int64]string{1 << 39: random(1<<20, 3)}}},
		"mixed":        {"log": treetest.File{Content: lines(200_000)}, "rec": treetest.File{Content: random(20<<20, 2)}, "z": treetest.Dir{Entries: many}},
		"linked":       {"a": treetest.File{Content: random(10<<20, 4)}, "b": treetest.HardLink{To: "a"}},
		"many lengths": {"log": treetest.File{Content: lines(300_000)}, "m": treetest.Dir{Entries: many}},
	}
	for name, entries := range tests {
		t.Run(name, func(t *testing.T) {
			source := Source{Name: "data", Path: built(t, treetest.Dir{Entries: entries})}
			m, err := Measure(t.Context(), []Source{source}, MeasureOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var checksums bytes.Buffer
			w := write(t, Options{Checksums: &checksums}, source)
			if s := w.result.Summary; m.Files != s.Files || m.Entries != s.Entries || m.Bytes != s.BytesRead {
				t.Errorf("measured %+v, archived %+v", m, s)
			}
			// A margin is wanted, but not a space that nobody has.
			low := w.result.Size + int64(checksums.Len())
			if high := low*5/4 + 64<<10; m.EstimatedBytes < low || m.EstimatedBytes > high {
				t.Errorf("estimated %d bytes for an archive of %d and a list of %d", m.EstimatedBytes, w.result.Size, checksums.Len())
			}
		})
	}
}

func TestMeasureIsDeterministic(t *testing.T) {
	source := Source{Name: "data", Path: built(t, corpus())}
	a, errA := Measure(t.Context(), []Source{source}, MeasureOptions{})
	b, errB := Measure(t.Context(), []Source{source}, MeasureOptions{})
	if a != b || errA != nil || errB != nil {
		t.Errorf("measured %+v (%v), then %+v (%v)", a, errA, b, errB)
	}
}

func TestMeasureRefusesWhatWriteRefuses(t *testing.T) {
	if _, err := Measure(t.Context(), nil, MeasureOptions{}); !errors.Is(err, ErrInvalidSource) {
		t.Errorf("got error %v, want %v", err, ErrInvalidSource)
	}
}

func TestMeasureCountsWhatIsReused(t *testing.T) {
	source := trusted(t, treetest.Entries{
		"big": treetest.File{Content: random(20<<20, 1)}, "log": treetest.File{Content: strings.Repeat("a line of a log\n", 200_000)},
		"small": treetest.Dir{Entries: smallFiles(500)}, "x": treetest.File{Content: random(3<<20, 2)},
	})
	one := first(t, source)
	overwrite(t, filepath.Join(source.Path, "x"), 0, random(3<<20, 3))
	previous, err := os.Open(one.path)
	if err != nil {
		t.Fatal(err)
	}
	defer previous.Close()
	opened := watchOpens(t, source.Path, filepath.Join(source.Path, "small"))
	m, err := Measure(t.Context(), []Source{source}, MeasureOptions{Previous: previous, Target: t.TempDir(), now: later})
	if err != nil {
		t.Fatal(err)
	}
	// Those that share a frame with what changed are in the sample.
	if n := opened(); n > 250 {
		t.Errorf("%d files were opened", n)
	}
	w := after(t, one.path, Options{}, source)
	s, size := w.result.Summary, w.result.Size+int64(len(w.checksums))
	if m.Files != s.Files || m.Entries != s.Entries || m.Bytes != s.BytesRead {
		t.Errorf("measured %+v, archived %+v", m, s)
	}
	if w.result.Reuse.Method == MethodReflink {
		size -= w.result.Reuse.SharedBytes
	}
	if m.EstimatedBytes < size || m.EstimatedBytes > size*5/4 {
		t.Errorf("estimated %d bytes, and it took %d", m.EstimatedBytes, size)
	}
	// Without a target it isn't known whether blocks can be shared.
	m, err = Measure(t.Context(), []Source{source}, MeasureOptions{Previous: previous, now: later})
	if size := w.result.Size; err != nil || m.EstimatedBytes < size || m.EstimatedBytes > size*5/4 {
		t.Errorf("without a target: estimated %d bytes for an archive of %d; error %v", m.EstimatedBytes, size, err)
	}
}
