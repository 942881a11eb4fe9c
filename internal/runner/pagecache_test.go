// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/report"
	"golang.org/x/sys/unix"
)

// cachedPages counts the pages of a file that are in the page cache.
func cachedPages(t *testing.T, file string) int64 {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var stat unix.Cachestat_t
	if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &stat, 0); err != nil {
		t.Fatal(err)
	}
	return int64(stat.Cache)
}

// incompressible is content whose archive is as big.
func incompressible(size int) string {
	content := make([]byte, size)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(content)
	return string(content)
}

func TestSyncLeavesNothingInThePageCache(t *testing.T) {
	t.Setenv("TMPDIR", "/var/tmp") // which is on a disk
	b := newBench(t)
	b.put(filepath.Join(b.config.Sources[0].Path, "recording"), incompressible(16<<20))
	r := b.want(report.Succeeded, "", report.ExitSucceeded)
	for _, dir := range []string{b.config.Directory, b.config.RsyncDirectory} {
		if n := cachedPages(t, filepath.Join(dir, r.Archive.Name)); n > 100 {
			t.Errorf("%s: %d pages are cached", dir, n)
		}
	}
}

func TestTidyCacheDropsTimeAfterTime(t *testing.T) {
	t.Setenv("TMPDIR", "/var/tmp")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(incompressible(4<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := tidyCache(time.Millisecond, func() []string {
		return append(filesIn(filepath.Dir(file)), filepath.Join(filepath.Dir(file), "gone"))
	})
	defer stop()
	// What is not on disk yet stays until it is, so this takes more than one look.
	for cachedPages(t, file) > 100 {
		runtime.Gosched()
	}
}
