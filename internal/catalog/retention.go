// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"fmt"
	"slices"
)

// Rules are what retention goes by.
type Rules struct {
	// Policy is the policy whose backups are to be retained, as namespace/name. Others' are kept without counting.
	Policy string
	// Keep is how many backups are kept, at least 1.
	Keep int
	// Current is the file name of the backup that the run has just made. It is kept even if its name isn't the newest,
	// as happens after a clock was set back. Empty if there is none.
	Current string
	// OnlyIncomplete says that no complete backup may be removed, because the run that asks was incomplete: what is
	// missing now may be found in one of them only.
	OnlyIncomplete bool
}

// Decision is what is to happen with one backup, and why.
type Decision struct {
	Backup Backup
	Keep   bool
	// Reason is a part of a sentence for people.
	Reason string
}

// Retain decides which backups are kept and which are removed. It only decides: Remove does it. The decisions are
// ordered newest backup first. The rules, the first that applies wins:
//
//  1. What isn't provably a good archive of the policy's own is kept and doesn't count: strangers' files, other
//     policies' archives, damaged archives.
//  2. The current backup is kept.
//  3. The newest Keep backups are kept; the current one is counted among them.
//  4. The newest complete backup is kept besides, however many incomplete ones came after it.
//  5. Complete backups are kept when the run that asks was incomplete.
//  6. All others are removed.
//
// Two consequences hold for every listing. Something is only ever removed when Keep good backups remain. And removing
// from one directory is safe for its mirror: a backup that would be kept in the mirror ranks there no better than it
// does here, so it is kept here too, and a backup directory can be pruned while its mirror can't be reached.
func Retain(backups []Backup, rules Rules) []Decision {
	sorted := slices.SortedFunc(slices.Values(backups), newestFirst)
	own := func(b Backup) bool { return b.Good() && b.Header.Policy == rules.Policy }
	newestComplete := slices.IndexFunc(sorted, func(b Backup) bool { return own(b) && b.State == Complete })
	left := max(rules.Keep, 1)
	if slices.ContainsFunc(sorted, func(b Backup) bool { return own(b) && b.File == rules.Current }) {
		left--
	}

	decisions := make([]Decision, 0, len(sorted))
	for i, b := range sorted {
		d := Decision{Backup: b, Keep: true}
		switch {
		case b.State == Foreign:
			d.Reason = "it is not a backup that this program knows"
		case b.State == Damaged:
			d.Reason = "it is damaged: look into it, and remove it by hand"
		case !own(b):
			d.Reason = fmt.Sprintf("it belongs to the policy %q", b.Header.Policy)
		case b.File == rules.Current:
			d.Reason = "it has just been made"
		case left > 0:
			left--
			d.Reason = fmt.Sprintf("it is one of the newest %d", rules.Keep)
		case i == newestComplete:
			d.Reason = "it is the newest complete backup"
		case rules.OnlyIncomplete && b.State == Complete:
			d.Reason = "it is complete and the latest run was not"
		default:
			d.Keep = false
			d.Reason = fmt.Sprintf("there are %d newer ones", rules.Keep)
		}
		decisions = append(decisions, d)
	}
	return decisions
}

// Missing returns what has to be sent to a mirror: the good backups of the policy's own in the backup directory that
// retention would keep in the mirror if it had them already. So nothing is sent only to be removed again. Backups that
// the mirror seems to have are listed too: whether they are equal is for the one who sends to find out.
func Missing(here, mirror []Backup, rules Rules) []Backup {
	var send []Backup
	for _, d := range Retain(Merge(here, mirror), rules) {
		own := d.Backup.Good() && d.Backup.Header.Policy == rules.Policy
		if own && d.Keep && slices.ContainsFunc(here, func(h Backup) bool { return h.File == d.Backup.File }) {
			send = append(send, d.Backup)
		}
	}
	return send
}

// Conflicts returns the names of backups that can't be sent because the mirror has something else under their names:
// a stranger's file, or another archive. Sending would destroy that. A damaged copy of the same archive is no conflict.
func Conflicts(send, mirror []Backup) []string {
	var names []string
	for _, b := range send {
		if slices.ContainsFunc(mirror, func(m Backup) bool { return m.File == b.File && m.Header != b.Header }) {
			names = append(names, b.File)
		}
	}
	return names
}
