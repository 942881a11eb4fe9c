// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"slices"

	"appliance.io/backup-operator/internal/archive"
)

// Emptied returns the names of the sources that an archive holds no files of although the complete backup before it
// did. A volume that isn't mounted looks just like a source that somebody emptied, and who takes archives of it for
// complete loses, after as many runs as backups are kept, the last one that has the files.
func Emptied(previous, summary archive.Summary) []string {
	var names []string
	for _, s := range summary.Sources {
		if s.Files > 0 {
			continue
		}
		held := func(p archive.SourceSummary) bool { return p.Name == s.Name && p.Files > 0 }
		if slices.ContainsFunc(previous.Sources, held) {
			names = append(names, s.Name)
		}
	}
	return names
}

// judgeEmptied makes complete backups incomplete that have an emptied source, each judged by the newest complete
// backup of the same policy before it. The listing is ordered newest first.
func judgeEmptied(backups []Backup) {
	previous := map[string]archive.Summary{}
	for i := range slices.Backward(backups) {
		b := &backups[i]
		if b.State != Complete {
			continue
		}
		if before, ok := previous[b.Header.Policy]; ok {
			b.Emptied = Emptied(before, b.Summary)
		}
		if len(b.Emptied) > 0 {
			b.State = Incomplete
			continue
		}
		previous[b.Header.Policy] = b.Summary
	}
}

// Merge unites the listings of a backup directory and its mirror: where both have a backup, the first one's entry
// stands. Sources that were emptied are judged by both.
func Merge(here, mirror []Backup) []Backup {
	union := slices.Clone(here)
	for _, b := range mirror {
		if !slices.ContainsFunc(here, func(h Backup) bool { return h.File == b.File }) {
			union = append(union, b)
		}
	}
	slices.SortFunc(union, newestFirst)
	judgeEmptied(union)
	return union
}
