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

// mirrorLockTimeout is how long to wait for the mirror's lock at most. Whoever holds it is no run of the same backup
// directory, for this one has the lock of that: it may be what is left of a transfer that waits for the mirror for good.
const mirrorLockTimeout = 10 * time.Minute

// lock makes the backup directory if need be and takes its lock, waiting for another run to end.
func (r *run) lock(ctx context.Context) error {
	lock, err := r.lockDirectory(ctx, r.storage, r.config.LockTimeout)
	if err != nil {
		return err
	}
	r.held = lock
	r.beating.Store(lock)
	return nil
}

// lockDirectory makes and locks a directory. That already takes being able to write there, so most that can be wrong
// with a directory shows here.
func (r *run) lockDirectory(ctx context.Context, d *directory, timeout time.Duration) (*catalog.Lock, error) {
	if err := d.do(func() error { return catalog.EnsureDirectory(d.path) }); err != nil {
		return nil, directoryFault(d.flag, d.path, err)
	}
	began, wait := time.Now(), lockWait{directory: d.path}
	var progress *ticker
	lock, err := catalog.AcquireLock(ctx, d.path, r.config.Prefix, catalog.LockRequest{
		Holder: r.holder(), Timeout: timeout, AnswerTimeout: patience * r.config.AnswerTimeout,
		Waiting: func(holder string) {
			wait.holders = append(wait.holders, holder)
			report := func() {
				r.log.Info("waiting for another run to end", "directory", d.path, "holder", holder,
					"waited", time.Since(began).Round(time.Second), "limit", timeout)
			}
			report()
			progress.stop()
			progress = every(r.config.ProgressInterval, report)
		},
	})
	progress.stop()
	wait.took = time.Since(began)
	if len(wait.holders) > 0 {
		r.waits = append(r.waits, wait)
	}
	if err != nil {
		d.note(err)
		if isFileError(err) {
			return nil, directoryFault(d.flag, d.path, err)
		}
		return nil, err
	}
	r.log.Debug("locked", "directory", d.path)
	return lock, nil
}

// holder is what others, who wait for the lock, are told.
func (r *run) holder() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("policy %s, run %q, since %s, host %s, process %d",
		r.config.Policy, r.config.Run, r.report.StartTime.Format(time.RFC3339), host, os.Getpid())
}

// lockWait is a wait for other runs.
type lockWait struct {
	directory string
	holders   []string
	took      time.Duration
}

// describeWaits says for whom the run has waited, as the end of a sentence; empty if it has not.
func (r *run) describeWaits() string {
	text := ""
	for _, w := range r.waits {
		text += fmt.Sprintf("; it waited %s for another run in %s", max(w.took.Round(time.Second), time.Second), w.directory)
		if holder := w.holders[len(w.holders)-1]; holder != "" {
			text += " (" + holder + ")"
		}
	}
	return text
}
