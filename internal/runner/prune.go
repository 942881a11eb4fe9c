// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
)

// rules are what retention goes by in this run, in the backup directory and in the mirror alike.
func (r *run) rules() catalog.Rules {
	return catalog.Rules{Policy: r.config.Policy, Keep: r.config.Keep, Current: r.made.File, Paused: r.paused}
}

// prune removes what is beyond the number to keep: in the backup directory because there is a good archive, in the
// mirror only if that has got everything.
func (r *run) prune(ctx context.Context) error {
	err := r.pruneDirectory(ctx, r.storage)
	if r.mirror != nil && r.mirror.complete {
		err = errors.Join(err, r.pruneDirectory(ctx, &r.mirror.directory))
	}
	if err != nil {
		return &fault{reason: report.ReasonPruneFailed, err: err}
	}
	return nil
}

// pruneDirectory removes what retention says, oldest first. What can't be removed doesn't keep the rest from it.
func (r *run) pruneDirectory(ctx context.Context, from *directory) error {
	backups, err := r.list(from)
	if err != nil {
		return err
	}
	rules := r.rules()
	rules.Paused = r.pausesFor(backups)
	decisions := catalog.RetainSound(backups, rules, r.examine(from))
	if made := r.examined[filepath.Join(from.path, r.made.File)]; made.State == catalog.Damaged {
		return fmt.Errorf("%s %s: the archive %s, which has just been made, is damaged, so nothing older is removed: check the "+
			"health of the storage (%w)", from.flag, from.path, made.File, made.Err)
	}
	removed := false
	var errs []error
	for i := len(decisions) - 1; i >= 0; i-- {
		d := decisions[i]
		if d.Keep {
			r.log.Debug("kept", "directory", from.path, "backup", d.Backup.File, "because", d.Reason)
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := from.do(func() error { return catalog.Remove(from.path, d.Backup) }); err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", from.flag, from.path, err))
			continue
		}
		removed = true
		r.log.Info("removed", "directory", from.path, "backup", d.Backup.File, "because", d.Reason)
	}
	if removed {
		errs = append(errs, from.do(func() error { return catalog.SyncDirectory(from.path) }))
	}
	return errors.Join(errs...)
}
