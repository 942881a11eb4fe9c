// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lock takes a lock on a file, which is made when missing. The kernel releases
// it when the process ends, however it ends. how is a flock(2) operation; with
// LOCK_NB a lock held by another gives syscall.EWOULDBLOCK.
func lock(path string, how int) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	for {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(file.Fd()), how); err != nil {
			file.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		if isAt(file, path) {
			return func() { file.Close() }, nil
		}
		// Its holder removed the file meanwhile: others lock a new one.
		file.Close()
	}
}

// isAt tells whether the file is still the one with that path.
func isAt(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(opened, there)
}

// lockCluster keeps others from starting or removing a cluster meanwhile.
func lockCluster(name string) (unlock func(), err error) {
	return lock(lockFile(name), syscall.LOCK_EX)
}

// lockMachine keeps clusters from taking the same network, and the like.
func lockMachine() (unlock func(), err error) {
	return lock(filepath.Join(stateRoot, ".machine.lock"), syscall.LOCK_EX)
}

func lockFile(name string) string { return filepath.Join(stateRoot, "."+name+".lock") }
