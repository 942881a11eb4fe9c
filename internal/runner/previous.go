// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"slices"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
)

// list lists the backups with the run's prefix in a directory.
func (r *run) list(d *directory) ([]catalog.Backup, error) {
	backups, err := look(d, func() ([]catalog.Backup, error) { return catalog.List(d.path, r.config.Prefix, r.now()) })
	return r.withExamined(d, backups), err
}

// known are the backups that the run can see before it makes its own. They are looked for in the mirror as well: where a
// source isn't mounted, the backup directory may not be either.
func (r *run) known() []catalog.Backup {
	var there []catalog.Backup
	if r.mirror != nil {
		listing, err := r.list(&r.mirror.directory)
		if err != nil {
			r.log.Debug("no earlier backups in the rsync directory", "error", err)
		}
		there = listing
	}
	return catalog.Merge(r.here, there)
}

// sourcesWithPast returns the run's sources with what earlier backups tell of them.
func (r *run) sourcesWithPast(known []catalog.Backup) []archive.Source {
	held, mounted := heldFiles(known, r.config.Policy), mountedIn(known, r.config.Policy)
	sources := slices.Clone(r.config.Sources)
	for i := range sources {
		sources[i].HeldFiles, sources[i].FileSystems = held[sources[i].Name], mounted[sources[i].Name]
	}
	return sources
}

// heldFiles returns the names of the sources of which a policy's newest complete backup holds files. Incomplete ones
// after it that found a source emptied count too: they remember a complete one that somebody may have removed since.
// The listing is ordered newest first.
func heldFiles(backups []catalog.Backup, policy string) map[string]bool {
	held := map[string]bool{}
	for _, b := range backups {
		if !b.Good() || b.Header.Policy != policy {
			continue
		}
		complete := b.State == catalog.Complete
		for _, s := range b.Summary.Sources {
			if s.Emptied || complete && s.Files > 0 {
				held[s.Name] = true
			}
		}
		if complete {
			break
		}
	}
	return held
}
