// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

// oldRun follows the members of a group, and tells whether they are all the entries of one frame of the previous archive.
type oldRun struct {
	begun  bool
	broken bool
	frame  oldFrame // of the first member
	next   int      // which of the frame's entries must be next
	first  oldFrame // that begins with the first member's path, as changed as it may be; without a size if there is none
}

// add is told of the next member: the previous archive's entry of that path, if there is one, and whether that is what it
// was.
func (r *oldRun) add(old oldEntry, found, same bool) {
	if !r.begun {
		r.begun = true
		if found && old.ordinal == 0 {
			r.frame, r.first = old.frame, old.frame
		}
	}
	if !found || !same || old.frame.offset != r.frame.offset || old.ordinal != r.next {
		r.broken = true
	}
	r.next++
}

// isWhole tells whether the members so far are all the entries of r.frame, unchanged and in order.
func (r *oldRun) isWhole() bool {
	return r.begun && !r.broken && r.next == r.frame.Entries
}
