// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"fmt"
	"os"
	"time"

	"appliance.io/backup-operator/internal/catalog"
)

// lock makes the backup directory if need be and takes its lock, waiting for another run to end.
func (r *run) lock(ctx context.Context) error {
	lock, err := r.lockDirectory(ctx, "--directory", r.config.Directory)
	r.held = lock
	return err
}

// lockDirectory makes and locks a directory. That already takes being able to write there, so most that can be wrong
// with a directory shows here.
func (r *run) lockDirectory(ctx context.Context, flag, dir string) (*catalog.Lock, error) {
	if err := catalog.EnsureDirectory(dir); err != nil {
		return nil, directoryFault(flag, dir, err)
	}
	lock, err := catalog.AcquireLock(ctx, dir, r.config.Prefix, r.holder(), r.config.LockTimeout)
	if err != nil {
		if isFileError(err) {
			return nil, directoryFault(flag, dir, err)
		}
		return nil, err
	}
	r.log.Debug("locked", "directory", dir)
	return lock, nil
}

// holder is what others, who wait for the lock, are told.
func (r *run) holder() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("policy %s, run %q, since %s, host %s, process %d",
		r.config.Policy, r.config.Run, r.report.StartTime.Format(time.RFC3339), host, os.Getpid())
}
