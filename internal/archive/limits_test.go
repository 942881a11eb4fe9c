// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAPathThatIsTooLongIsTold: what is deeper than any program can reach is left out, and the rest can be read.
func TestAPathThatIsTooLongIsTold(t *testing.T) {
	root := t.TempDir()
	name := strings.Repeat("d", 255)
	at, depth := openDirectory(t, root).fd, 0
	for path := "data"; len(path) <= longestPath; path += "/" + name {
		if err := unix.Mkdirat(at, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if depth++; depth > 1 {
			_ = unix.Close(at)
		}
		at = next
	}
	_ = unix.Close(at)
	w := write(t, Options{}, Source{Name: "data", Path: root})
	s := w.result.Summary
	if s.Complete || s.Warnings != (WarningCounts{Unreadable: 1}) || s.Directories != int64(depth) {
		t.Errorf("of %d directories: %+v", depth+1, s)
	}
	w.checkIndex(t)
}

// TestAttributesThatAreTooManyAreTold: a file may have so many that no frame could hold them.
func TestAttributesThatAreTooManyAreTold(t *testing.T) {
	const size = 64 << 10
	names := strings.Repeat("user.some\x00", 2*maxAttributes/size)
	records, err := fakeXattrs(names, func(string) (string, error) { return strings.Repeat("x", size), nil }).records()
	if total := len(records) * size; err == nil || total > maxAttributes || total < maxAttributes-2*size {
		t.Errorf("%d bytes, error %v", total, err)
	}
}

// TestNothingComesBetweenTheFramesOfAFile: a part of the index waits, and there is something to be reported.
func TestNothingComesBetweenTheFramesOfAFile(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "archive"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	out := &output{file: file}
	summary := newSummary([]Source{{Name: "data"}})
	p, err := newPipeline(t.Context(), out, nil, summary, &Reuse{}, &Options{Concurrency: 1, VerifyRuns: 14})
	if err != nil {
		t.Fatal(err)
	}
	p.indexer.records = make([]byte, heldRecords)
	f, err := p.acquire()
	if err != nil {
		t.Fatal(err)
	}
	f.note("data/file", Damaged, nil)
	p.submit(f)
	if err := p.wait(nil); err != nil {
		t.Fatal(err)
	}
	if out.size > 0 || summary.Warnings.Damaged != 1 {
		t.Errorf("%d bytes were written, %+v", out.size, summary.Warnings)
	}
}
