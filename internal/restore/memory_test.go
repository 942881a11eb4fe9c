// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

// liveHeap is the number of bytes that were in use at the end of the last garbage collection.
func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// forgedDirectories is an archive of so many directories of 100 empty files each, each in a frame and a block of its own.
func forgedDirectories(t *testing.T, directories int) []byte {
	t.Helper()
	f := newForgery().add(t, directoryEntry("data"))
	for d := range directories {
		path := fmt.Sprintf("data/directory-%04d", d)
		list := []forgedEntry{directoryEntry(path)}
		for i := range 100 {
			list = append(list, regular(fmt.Sprintf("%s/file-%04d", path, i), ""))
		}
		f.add(t, list...)
	}
	return f.finish(t)
}

// peakHeap is the most memory in use while so many directories of 100 files each are restored, as seen from the start.
func peakHeap(t *testing.T, directories int) uint64 {
	t.Helper()
	a := openForged(t, forgedDirectories(t, directories))
	debug.FreeOSMemory()
	before, peak := liveHeap(), uint64(0)
	got, err := Run(t.Context(), a, Options{
		Target: t.TempDir(), Concurrency: 2, Progress: func(Progress) { peak = max(peak, liveHeap()) },
	})
	if err != nil || got.Files != int64(100*directories) {
		t.Fatalf("%+v, %v", got, err)
	}
	return max(peak, before) - before
}

func TestMemoryDoesNotFollowTheNumberOfFiles(t *testing.T) {
	// Collect often, so that peaks aren't missed.
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	few := peakHeap(t, 20)
	many := peakHeap(t, 100)
	if many > few+2<<20 {
		t.Errorf("2,000 files take %d KiB, 10,000 take %d KiB", few>>10, many>>10)
	}
	t.Logf("live heap: %d KiB at 2,000 files, %d KiB at 10,000", few>>10, many>>10)
}
