// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"fmt"
	"slices"
	"time"
)

// Rules are what retention goes by.
type Rules struct {
	// Policy is the policy whose backups are to be retained, as namespace/name. Others' are kept without counting.
	Policy string
	// Keep is how many backups are kept, at least 1.
	Keep int
	// Current is the file name of the backup that the run has just made. It is kept even if its name isn't the newest,
	// as happens when a clock was set back or two runs end within one second. Empty if there is none.
	Current string
	// Paused says that no complete backup is to be removed, because the current one may lack what they hold.
	Paused bool
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
//  3. The newest Keep complete backups are kept; the current one, when it is complete, is counted among them.
//  4. Unless the current backup is complete, all complete ones are kept, for what is missing now may be found in one of
//     them only; and of the incomplete ones the newest Keep, the current one counted among them.
//  5. While removal is paused, all complete ones are kept.
//  6. When it is complete, incomplete ones are kept, newest first, in the places that complete ones leave free among
//     Keep.
//  7. All others are removed.
//
// A backup in which a later run found damage takes no place, and is kept as long as one would be free for it.
//
// Three consequences hold for every listing. An incomplete backup never takes the place of a complete one. A complete
// backup is only ever removed when the current one is there, is complete, and Keep complete ones remain. And removing
// from one directory is safe for its mirror: a backup that would be kept in the mirror ranks there no better than it
// does here, so it is kept here too, and a backup directory can be pruned while its mirror can't be reached.
func Retain(backups []Backup, rules Rules) []Decision {
	sorted := slices.SortedFunc(slices.Values(backups), newestFirst)
	rules.Keep = max(rules.Keep, 1)
	renewed := slices.ContainsFunc(sorted, func(b Backup) bool { return rules.isCurrent(b) && b.State == Complete })
	left := rules.places(sorted, renewed)
	decisions := make([]Decision, 0, len(sorted))
	for _, b := range sorted {
		d := Decision{Backup: b, Keep: true}
		switch {
		case b.State == Foreign:
			d.Reason = "it is not a backup that this program knows"
		case b.State == Damaged:
			d.Reason = "it is damaged, so it does not count"
		case !rules.owns(b):
			d.Reason = fmt.Sprintf("it belongs to the policy %q", b.Header.Policy)
		case rules.isCurrent(b):
			d.Reason = "it has just been made"
		case left[b.State] > 0:
			d.Reason = rules.takePlace(b, left)
		case b.State == Complete && !renewed:
			d.Reason = "it is complete, and the latest run made no complete one"
		case b.State == Complete && rules.Paused:
			d.Reason = "it is complete, and the latest backup is unusual"
		case b.State == Incomplete && renewed:
			d.Keep = false
			d.Reason = fmt.Sprintf("it is incomplete, and its place among %d is a complete one's", rules.Keep)
		default:
			d.Keep = false
			d.Reason = fmt.Sprintf("there are %d newer ones", rules.Keep)
		}
		decisions = append(decisions, d)
	}
	return decisions
}

// takePlace keeps a backup in one of the places that are left, which one that was found damaged leaves to another. It
// returns the reason.
func (r Rules) takePlace(b Backup, left map[State]int) string {
	if b.Distrusted {
		return fmt.Sprintf("a later run found damage in it, so it is not one of the newest %d", r.Keep)
	}
	left[b.State]--
	return fmt.Sprintf("it is one of the newest %d", r.Keep)
}

// places returns how many backups of either state are to be kept besides the current one. Renewed says that the current
// one is complete.
func (r Rules) places(backups []Backup, renewed bool) map[State]int {
	left := map[State]int{Complete: r.Keep, Incomplete: r.Keep}
	for _, b := range backups {
		if r.isCurrent(b) {
			left[b.State]--
		}
		if renewed && r.owns(b) && b.State == Complete && !b.Distrusted {
			left[Incomplete]--
		}
	}
	return left
}

// owns reports whether a backup is provably a good one of the policy's own.
func (r Rules) owns(b Backup) bool { return b.Good() && b.Header.Policy == r.Policy }

// isCurrent reports whether a backup is the one that the run has just made.
func (r Rules) isCurrent(b Backup) bool { return r.owns(b) && b.File == r.Current }

// Missing returns what has to be sent to a mirror: the good backups of the policy's own in the backup directory that
// retention would keep in the mirror if it had them already. So nothing is sent only to be removed again. Backups that
// the mirror seems to have are listed too: whether they are equal is for the one who sends to find out.
func Missing(here, mirror []Backup, rules Rules) []Backup {
	var send []Backup
	sendable := slices.DeleteFunc(slices.Clone(here), func(b Backup) bool { return !rules.owns(b) || b.Distrusted })
	for _, d := range Retain(Merge(sendable, mirror), rules) {
		if d.Keep && slices.ContainsFunc(sendable, func(b Backup) bool { return b.File == d.Backup.File }) {
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
		if slices.ContainsFunc(mirror, func(m Backup) bool { return m.File == b.File && !m.isCopyOf(b) }) {
			names = append(names, b.File)
		}
	}
	return names
}

// timeGranularity is the coarsest in which file systems keep times of modification.
const timeGranularity = 2 * time.Second

// isCopyOf reports whether a file in a mirror is a copy of a backup, maybe a damaged one: it says so in its header, or it
// is no good archive but has the size and time with which it was sent.
func (b Backup) isCopyOf(sent Backup) bool {
	if b.Good() || b.Header == sent.Header {
		return b.Header == sent.Header
	}
	return b.Bytes == sent.Bytes && b.ModTime.Sub(sent.ModTime).Abs() <= timeGranularity
}
