// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"appliance.io/backup-operator/internal/catalog"
)

// previousComplete returns the newest complete backup there was before this run. It is looked for in the mirror as
// well: where a source isn't mounted, the backup directory may not be either.
func (r *run) previousComplete() (catalog.Backup, bool) {
	var there []catalog.Backup
	if r.config.RsyncDirectory != "" {
		listing, err := catalog.List(r.config.RsyncDirectory, r.config.Prefix)
		if err != nil {
			r.log.Debug("no earlier backups in the rsync directory", "error", err)
		}
		there = listing
	}
	return catalog.NewestComplete(catalog.Merge(r.here, there), r.config.Policy)
}

// judgeArchive makes the run's archive incomplete if a source is empty that held files in the previous complete backup.
func (r *run) judgeArchive(b *catalog.Backup) {
	if b.State != catalog.Complete {
		return
	}
	if previous, ok := r.previousComplete(); ok {
		if b.Emptied = catalog.Emptied(previous.Summary, b.Summary); len(b.Emptied) > 0 {
			b.State = catalog.Incomplete
		}
	}
}
