// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"errors"
	"path/filepath"
	"slices"

	"appliance.io/backup-operator/internal/archive"
)

// Examine reads all records of a good backup, of which List has read the first and the last only, and returns the backup
// as it turns out to be: with the state Damaged and an error if a record isn't what was written. Data isn't read, so this
// takes some hundredths of the time that checking all of it would take.
func Examine(dir string, b Backup) Backup {
	if !b.Good() {
		return b // Nor is there anything to examine in one that isn't there at all.
	}
	f, err := OpenRegular(filepath.Join(dir, b.File))
	if err != nil {
		return b.damaged(err)
	}
	file := archive.NewUncached(f)
	err = archive.CheckRecords(file, b.Bytes)
	if err := errors.Join(err, file.Close(), f.Close()); err != nil {
		return b.damaged(err)
	}
	return b
}

// damaged is the backup with that state.
func (b Backup) damaged(err error) Backup {
	b.State, b.Err, b.Summary = Damaged, err, archive.Summary{}
	return b
}

// RetainSound decides as Retain does, but counts no backup that it hasn't examined: a damaged one must not push out one
// that is sound. What examine returns takes the place of what it is given. Nothing is examined as long as nothing is to
// be removed, and never more than what is kept: damage that only examining shows is no reason to keep what is too old.
func RetainSound(backups []Backup, rules Rules, examine func(Backup) Backup) []Decision {
	var decisions []Decision
	settle(backups, examine, func(backups []Backup) []Backup {
		decisions = Retain(backups, rules)
		if !slices.ContainsFunc(decisions, func(d Decision) bool { return !d.Keep }) {
			return nil
		}
		var counted []Backup
		for _, d := range decisions {
			if d.Keep && rules.owns(d.Backup) {
				counted = append(counted, d.Backup)
			}
		}
		return counted
	})
	return decisions
}

// MissingSound is what Missing returns, with each backup in it examined: nothing damaged is sent to a mirror.
func MissingSound(here, mirror []Backup, rules Rules, examine func(Backup) Backup) []Backup {
	var send []Backup
	settle(here, examine, func(here []Backup) []Backup {
		send = Missing(here, mirror, rules)
		return send
	})
	return send
}

// settle calls decide until it relies on nothing but backups that have been examined: decide is given the backups as far
// as they are known, and returns those that it relies on.
func settle(backups []Backup, examine func(Backup) Backup, decide func([]Backup) []Backup) {
	backups = slices.Clone(backups)
	examined := map[string]bool{}
	for changed := true; changed; {
		changed = false
		for _, b := range decide(backups) {
			if examined[b.File] {
				continue
			}
			examined[b.File] = true
			if now := examine(b); !now.Good() {
				changed = true
				at := slices.IndexFunc(backups, func(b Backup) bool { return b.File == now.File })
				backups[at] = now
			}
		}
	}
}
