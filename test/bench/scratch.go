// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// scratchPrefix begins the names of the directories that a benchmark works in.
const scratchPrefix = "backup-operator-bench-"

// newScratch makes the directory that the benchmark works in, and removes those of predecessors that were killed. It
// holds a lock in it, by which a successor sees that it is in use; the file must stay open.
func newScratch(parent string) (dir string, lock *os.File, err error) {
	if parent == "" {
		parent = os.TempDir()
	}
	if err := removeAbandoned(parent); err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp(parent, scratchPrefix); err != nil {
		return "", nil, err
	}
	lock, err = lockScratch(dir)
	return dir, lock, err
}

// lockScratch returns EWOULDBLOCK if somebody works there.
func lockScratch(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return lock, nil
}

// removeAbandoned removes what killed predecessors left. Their mounts and loop devices are gone already: see isolate.
func removeAbandoned(parent string) error {
	dirs, err := filepath.Glob(filepath.Join(parent, scratchPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		lock, err := lockScratch(dir)
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue
		}
		if err != nil {
			return err
		}
		err = os.RemoveAll(dir)
		lock.Close()
		if err != nil {
			return fmt.Errorf("remove what a killed benchmark left: %w", err)
		}
	}
	return nil
}
