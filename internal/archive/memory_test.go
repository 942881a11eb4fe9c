// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
	"golang.org/x/sys/unix"
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
			if err := unix.Mknod(filepath.Join(dir, fmt.Sprintf("file-%06d", i)), unix.S_IFREG|0o644, 0); err != nil {
				t.Fatal(err)
			}
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
	opts := Options{Concurrency: 2, Progress: func(Progress) { peak = max(peak, liveHeap()) }, now: later, Checksums: io.Discard}
	w := write(t, opts, sources...)
	if w.result.Summary.Files != files {
		t.Errorf("%d files in the archive, want %d", w.result.Summary.Files, files)
	}
	previous, err := os.Open(w.path)
	if err != nil {
		t.Fatal(err)
	}
	defer previous.Close()
	opts.Previous = previous
	if r := write(t, opts, sources...).result.Reuse; r.NewBytes > index.Alignment || r.ReusedBytes == 0 {
		t.Errorf("%+v", r)
	}
	for _, opts := range []MeasureOptions{{}, {Previous: previous}} {
		m, err := Measure(t.Context(), sources, opts)
		if err != nil || m.Files != files {
			t.Errorf("measured %+v, error %v", m, err)
		}
	}
	return max(peak, liveHeap())
}

func TestMemoryDoesNotFollowTheNumberOfFiles(t *testing.T) {
	few := peakHeap(t, manyFiles(t, 10, 400), 4_000)
	many := peakHeap(t, manyFiles(t, 100, 400), 40_000)
	// The index of the many is held until there is enough of it to be written, and so are their checksums.
	if many > few+2<<20+2*heldRecords+heldChecksums {
		t.Errorf("4,000 files take %d KiB, 40,000 take %d KiB", few>>10, many>>10)
	}
	t.Logf("live heap: %d KiB at 4,000 files, %d KiB at 40,000", few>>10, many>>10)
}

func TestMemoryOfOneBigDirectoryIsItsNames(t *testing.T) {
	const files = 40_000
	few := peakHeap(t, manyFiles(t, 1, 4_000), 4_000)
	many := peakHeap(t, manyFiles(t, 1, files), files)
	// A name takes a string's 16 bytes in a slice that grew by doubling, and its own.
	if limit := few + files*64 + 2<<20 + 2*heldRecords + heldChecksums; many > limit {
		t.Errorf("a directory of %d names takes %d KiB, more than %d", files, many>>10, limit>>10)
	}
	t.Logf("live heap: %d KiB at 4,000 names, %d KiB at %d", few>>10, many>>10, files)
}
