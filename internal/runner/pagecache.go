// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"os"
	"path/filepath"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
	"golang.org/x/sys/unix"
)

// tidyInterval is the time between two looks at what rsync has left in the page cache.
const tidyInterval = time.Second

// tidyCache drops what rsync reads and writes from the page cache again, time after time until it is stopped: rsync doesn't
// do so itself, and the appliance's files would have to go. To stop it doesn't wait: a look at a remote partition that is
// away may take for ever.
func tidyCache(interval time.Duration, list func() []string) (stop func()) {
	done := make(chan struct{})
	go func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				dropCached(list())
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

// dropCached drops files from the page cache, as far as they are on disk. What is not is sent on its way there, and goes
// the next time.
func dropCached(files []string) {
	for _, file := range files {
		f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue // has got its name, or is removed
		}
		archive.DropCached(f)
		_ = f.Close()
	}
}

// pathsOf are the paths of backups in a directory.
func pathsOf(dir string, backups []catalog.Backup) []string {
	paths := make([]string, 0, len(backups))
	for _, b := range backups {
		paths = append(paths, filepath.Join(dir, b.File))
	}
	return paths
}

// filesIn are the paths of what is in a directory now.
func filesIn(dir string) []string {
	entries, _ := os.ReadDir(dir)
	paths := make([]string, 0, len(entries))
	for _, e := range entries {
		paths = append(paths, filepath.Join(dir, e.Name()))
	}
	return paths
}
