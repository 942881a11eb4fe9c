// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWrittenFileLeavesThePageCache(t *testing.T) {
	f, err := os.Create(filepath.Join(diskDir(t), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 100*mib + 300_000
	file := cachedFile{f, size}
	var w writeBehind
	block, peak := []byte(random(300_000, 1)), int64(0)
	for offset := int64(0); offset < size; offset += int64(len(block)) {
		if offset > 50*mib && offset < 51*mib {
			offset += mib + 500 // as where a range of another file is taken over
		}
		if _, err := f.WriteAt(block, offset); err != nil {
			t.Fatal(err)
		}
		if err := w.wrote(int(f.Fd()), offset, int64(len(block))); err != nil {
			t.Fatal(err)
		}
		peak = max(peak, file.cachedAll(t))
	}
	if limit := pages(40 * mib); peak > limit {
		t.Errorf("%d pages were cached at a time, more than %d", peak, limit)
	}
	t.Logf("at most %d pages were cached at a time", peak)
	if err := w.end(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	checkCached(t, "the file", file.cachedAll(t), pages(size), false)
}

// TestFailureToBringItToDiskIsTold fails the way a disk does that gives up after the write itself went well. The kernel
// tells of that once, and then it is the program's.
func TestFailureToBringItToDiskIsTold(t *testing.T) {
	for _, failing := range []int{syncStart, syncWait} {
		withSyncFileRange(t, func(_ int, _, _ int64, flags int) error {
			if flags == failing {
				return unix.EIO
			}
			return nil
		})
		path := filepath.Join(t.TempDir(), "source")
		if err := os.WriteFile(path, []byte(random(mib, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := tryWrite(t, t.Context(), Options{Concurrency: 1}, Source{Name: "data", Path: filepath.Dir(path)})
		if !errors.Is(err, unix.EIO) {
			t.Errorf("flags %d: error %v", failing, err)
		}
	}
}

func TestFileSystemThatCannotSyncRanges(t *testing.T) {
	calls := 0
	withSyncFileRange(t, func(int, int64, int64, int) error { calls++; return unix.ENOSYS })
	var w writeBehind
	for i := range int64(20) {
		if err := w.wrote(-1, i*dropWindow, dropWindow); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.end(-1); err != nil || calls != 1 {
		t.Errorf("%d calls, error %v", calls, err)
	}
}

func withSyncFileRange(t *testing.T, f func(fd int, offset, length int64, flags int) error) {
	t.Helper()
	before := syncFileRange
	syncFileRange = f
	t.Cleanup(func() { syncFileRange = before })
}
