// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package anomaly compares a backup with those before it and reports what ordinary days don't bring: a source that lost
// most of its files, a file system that is no longer mounted.
//
// Such a backup is complete as far as anyone can see, so it would take the place of older ones, until none is left from
// before the accident. A finding therefore pauses the removal of complete backups, until a person accepts the change or
// enough further backups show the same.
//
// Everything here is a pure function of what archives say of themselves. Each detector is a function from a history to
// findings; a new kind of anomaly is one more function in the list.
package anomaly

import (
	"slices"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/report"
)

// Backup is what is compared of a backup.
type Backup struct {
	// Name is the archive's file name.
	Name string
	// Sources is what came from each source.
	Sources []archive.SourceSummary
}

// source returns a source's share of a backup; false if it has none.
func (b *Backup) source(name string) (archive.SourceSummary, bool) {
	i := slices.IndexFunc(b.Sources, func(s archive.SourceSummary) bool { return s.Name == name })
	if i < 0 {
		return archive.SourceSummary{}, false
	}
	return b.Sources[i], true
}

// files is the number of regular files in a backup.
func (b *Backup) files() (n int64) {
	for _, s := range b.Sources {
		n += s.Files
	}
	return n
}

// History is a backup and what it is compared with.
type History struct {
	// Latest is the backup that is looked at.
	Latest Backup
	// Earlier are the complete backups before it, newest first. Those from before the one that a person accepted are left
	// out.
	Earlier []Backup
	// Accepted says that a person accepted one of the earlier backups as it is.
	Accepted bool
	// Agreeing is the number of further backups that must show a change before it counts as meant.
	Agreeing int
}

// Finding is one anomaly.
type Finding struct {
	Reason report.FindingReason
	// Message says what was found, in numbers, and what to look at.
	Message string
	// Pause is the number of further backups that must show the same before complete backups are removed again; 0 if
	// nothing keeps them from being removed.
	Pause int
}

// detectors are all kinds of anomalies.
var detectors = []func(*History) []Finding{emptyBackup, losses}

// Detect returns all anomalies of the latest backup.
func Detect(h History) []Finding {
	var all []Finding
	for _, detect := range detectors {
		all = append(all, detect(&h)...)
	}
	return all
}

// change is something in which the latest backups of a source differ from those before.
type change struct {
	// before is the newest backup from before the change.
	before Backup
	// agree is the number of further backups that must show the change before it counts as meant.
	agree int
}

// changeIn finds out whether the latest backup differs from earlier ones in the way that a function tells of a source's
// earlier share. There are three reasons for it not to be an anomaly:
//
//   - The backup that differs is alone: there is none before that it could be compared with.
//   - It has been so before, and then again otherwise: logs that are rotated, a volume that is mounted now and then.
//     That the oldest backups are like the latest is no such reason: every source was small once.
//   - As many backups as must agree, one after the other, have shown it.
func (h *History) changeIn(name string, differs func(earlier archive.SourceSummary) bool) (change, bool) {
	var past []Backup
	var different []bool
	for _, b := range h.Earlier {
		// An empty source is no measure: it was empty before it was first used, or it is missing.
		if s, ok := b.source(name); ok && s.Files > 0 {
			past, different = append(past, b), append(different, differs(s))
		}
	}
	first := slices.Index(different, true)
	if first < 0 || first >= h.Agreeing {
		return change{}, false
	}
	last := len(different) - 1
	for !different[last] {
		last--
	}
	if slices.Contains(different[first:last], false) {
		return change{}, false
	}
	return change{before: past[first], agree: h.Agreeing - first}, true
}
