// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"slices"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
)

// sourcesWithPast returns the run's sources with what earlier backups tell of them. These are looked for in the mirror
// as well: where a source isn't mounted, the backup directory may not be either.
func (r *run) sourcesWithPast() []archive.Source {
	var there []catalog.Backup
	if r.config.RsyncDirectory != "" {
		listing, err := catalog.List(r.config.RsyncDirectory, r.config.Prefix)
		if err != nil {
			r.log.Debug("no earlier backups in the rsync directory", "error", err)
		}
		there = listing
	}
	held := heldFiles(catalog.Merge(r.here, there), r.config.Policy)
	sources := slices.Clone(r.config.Sources)
	for i := range sources {
		sources[i].HeldFiles = held[sources[i].Name]
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
