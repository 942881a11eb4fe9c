// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"cmp"
	"math"
	"time"
)

// Backups are ordered as they were made, and not by their names' times alone: a clock may have been ahead for a day or
// set back, and two runs may begin in the same second. Each archive therefore records a sequence number that is greater
// than that of every archive its run could see. It is the time in seconds unless that isn't greater, so archives of runs
// that could not see each other, because a mirror was away or a directory was lost, are still ordered by time.
//
// Archives of older versions have no sequence number. The time in their names takes its place, unless that time has yet to
// come: then nothing is known of when they were made, and they rank below all others.

const (
	// clockTolerance is how far a name's time may be ahead of the clock without being worth a word: clocks of two
	// machines differ, and runs that begin in the same second take the seconds after it.
	clockTolerance = 5 * time.Minute
	// maxSequence is what JSON numbers hold exactly. Greater ones are ignored.
	maxSequence = 1<<53 - 1
)

// NextSequence returns the sequence number for a new archive beside those that are listed.
func NextSequence(backups []Backup, now time.Time) int64 {
	next := max(now.Unix(), 1)
	for _, b := range backups {
		if b.State != Foreign {
			next = max(next, b.sequence()+1, b.Name.Time.Unix()+1)
		}
	}
	return min(next, maxSequence)
}

// sequence is the archive's sequence number, 0 if it has none that can be used.
func (b Backup) sequence() int64 {
	if b.Header.Sequence < 0 || b.Header.Sequence > maxSequence {
		return 0
	}
	return b.Header.Sequence
}

// order is greater for a backup that was made later.
func (b Backup) order() int64 {
	switch {
	case b.sequence() > 0:
		return b.sequence()
	case b.Ahead:
		return math.MinInt64
	default:
		return b.Name.Time.Unix()
	}
}

// newestFirst orders backups by when they were made, the last first. It doesn't use the times of files, which copying
// changes.
func newestFirst(a, b Backup) int {
	return cmp.Or(
		cmp.Compare(b.order(), a.order()), compareBool(a.Ahead, b.Ahead),
		b.Name.Time.Compare(a.Name.Time), cmp.Compare(b.File, a.File))
}

// compareBool puts false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}
