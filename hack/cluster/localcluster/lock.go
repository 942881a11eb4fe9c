// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lock takes a lock on a file, which is made when missing and stays. The kernel
// releases it when the process ends, however it ends. how is a flock(2)
// operation; with LOCK_NB a lock held by another gives syscall.EWOULDBLOCK.
func lock(path string, how int) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), how); err != nil {
		file.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { file.Close() }, nil
}

// lockCluster keeps others from starting or removing a cluster meanwhile.
func lockCluster(name string) (unlock func(), err error) {
	return lock(lockFile(name), syscall.LOCK_EX)
}

func lockFile(name string) string { return filepath.Join(stateRoot, "."+name+".lock") }
