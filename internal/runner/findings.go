// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
)

// maxNamed is how many archives a finding names.
const maxNamed = 3

// findInListings adds findings about what the backup directory and the mirror hold. There is no listing of a directory
// that can't be read.
func (r *run) findInListings(here, mirror []catalog.Backup) {
	r.findDamaged("backup directory", here)
	r.findDamaged("mirror", mirror)
	r.findAhead(catalog.Merge(here, mirror))
}

// findLeftovers adds a finding about archives that the policy has under prefixes that it no longer uses.
func (r *run) findLeftovers(where string, d *directory) {
	left, err := look(d, func() ([]catalog.Leftover, error) {
		return catalog.Leftovers(d.path, r.config.Prefix, r.config.Policy)
	})
	if err != nil || len(left) == 0 {
		return // What is wrong with the directory is for others to say.
	}
	var prefixes []string
	for _, l := range left {
		prefixes = append(prefixes, fmt.Sprintf("%d named %s-*", l.Count, l.Prefix))
	}
	r.find(report.FindingBackupsLeftBehind, "archives of this policy with other filename prefixes are in the %s: %s. No run "+
		"removes them: remove them when you no longer need them (%s)", where, strings.Join(prefixes, ", "), report.VolumeShell)
}

// findDamaged adds a finding about damaged archives that may be this policy's.
func (r *run) findDamaged(where string, backups []catalog.Backup) {
	var damaged []catalog.Backup
	for _, b := range backups {
		if b.State == catalog.Damaged && !r.hasReported(b) && (b.Header.Policy == "" || b.Header.Policy == r.config.Policy) {
			damaged = append(damaged, b)
		}
	}
	if len(damaged) == 0 {
		return
	}
	r.find(report.FindingArchiveDamaged, "%s in the %s: damaged (%v). Damaged archives do not count as backups: check the "+
		"health of the storage, restore from them only what no other archive holds, and remove them (%s)",
		named(damaged), where, damaged[0].Err, report.VolumeShell)
}

// hasReported reports whether the archive is the one in which reusing it found damage, which is a finding of its own.
func (r *run) hasReported(b catalog.Backup) bool {
	a := r.report.Archive
	return a != nil && a.Reuse != nil && a.Reuse.DamagedFrames > 0 && a.Reuse.Previous == b.File
}

// findAhead adds a finding about archives whose names are in the future.
func (r *run) findAhead(backups []catalog.Backup) {
	ahead := slices.DeleteFunc(slices.Clone(backups), func(b catalog.Backup) bool {
		return !b.Ahead || !b.Good() || b.Header.Policy != r.config.Policy
	})
	if len(ahead) == 0 {
		return
	}
	r.find(report.FindingClockSkew, "the clock says %s, and the names of some archives are later: %s. The clock was ahead "+
		"when they were made, or is behind now: check the clock of the node. Archives are kept, reused and restored in the "+
		"order in which they were made, whatever their names say", r.now().UTC().Format(time.RFC3339), named(ahead))
}

// named lists the names of archives, of many the first few.
func named(backups []catalog.Backup) string {
	var names []string
	for _, b := range backups[:min(len(backups), maxNamed)] {
		names = append(names, b.File)
	}
	text := strings.Join(names, ", ")
	if more := len(backups) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
