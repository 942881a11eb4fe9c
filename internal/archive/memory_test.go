// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

// manyFiles makes directories with so many empty files in each.
func manyFiles(t *testing.T, directories, files int) string {
	t.Helper()
	root := t.TempDir()
	for d := range directories {
		dir := filepath.Join(root, fmt.Sprintf("directory-%05d", d))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range files {
			f, err := os.Create(filepath.Join(dir, fmt.Sprintf("file-%06d", i)))
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
	return root
}

// liveHeap is the number of bytes that were in use at the end of the last garbage collection.
func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// peakHeap is the most memory in use while the tree is measured and archived.
func peakHeap(t *testing.T, root string, files int64) uint64 {
	t.Helper()
	// Collect often, so that peaks aren't missed.
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	peak := uint64(0)
	sources := []Source{{Name: "data", Path: root}}
	w := write(t, Options{Concurrency: 2, Progress: func(Progress) { peak = max(peak, liveHeap()) }}, sources...)
	if w.result.Summary.Files != files {
		t.Errorf("%d files in the archive, want %d", w.result.Summary.Files, files)
	}
	m, err := Measure(t.Context(), sources)
	if err != nil || m.Files != files {
		t.Errorf("measured %+v, error %v", m, err)
	}
	return max(peak, liveHeap())
}

func TestMemoryDoesNotFollowTheNumberOfFiles(t *testing.T) {
	few := peakHeap(t, manyFiles(t, 10, 500), 5_000)
	many := peakHeap(t, manyFiles(t, 200, 500), 100_000)
	if many > few+8<<20 {
		t.Errorf("5,000 files take %d KiB, 100,000 take %d KiB", few>>10, many>>10)
	}
	t.Logf("live heap: %d KiB at 5,000 files, %d KiB at 100,000", few>>10, many>>10)
}

func TestMemoryOfOneBigDirectoryIsItsNames(t *testing.T) {
	const files = 100_000
	few := peakHeap(t, manyFiles(t, 1, 5_000), 5_000)
	many := peakHeap(t, manyFiles(t, 1, files), files)
	// A name takes a string's 16 bytes in a slice that grew by doubling, and its own.
	if limit := few + files*64 + 8<<20; many > limit {
		t.Errorf("a directory of %d names takes %d KiB, more than %d", files, many>>10, limit>>10)
	}
	t.Logf("live heap: %d KiB at 5,000 names, %d KiB at %d", few>>10, many>>10, files)
}
