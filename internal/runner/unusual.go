// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"fmt"
	"slices"

	"appliance.io/backup-operator/internal/anomaly"
	"appliance.io/backup-operator/internal/catalog"
)

// leastAgreeing is the least number of further backups that must show a change before it counts as meant.
const leastAgreeing = 3

// findUnusual compares the run's archive with those before it, and pauses the removal of complete backups if it is
// unusual. The decision is the run's own, because nobody may be there to take it: the operator may be down.
func (r *run) findUnusual() {
	if r.past == nil {
		r.past = r.known()
	}
	for _, f := range r.anomalies(r.past, *r.made) {
		r.paused = r.paused || f.Pause > 0
		r.find(f.Reason, "%s. %s", f.Message, describePause(f.Pause, r.made.File))
	}
}

// pausesFor reports whether complete backups must not be removed from a directory with this listing: it may hold backups
// that the run couldn't see when it looked for something unusual.
func (r *run) pausesFor(backups []catalog.Backup) bool {
	return r.paused || slices.ContainsFunc(r.anomalies(backups, *r.made), pauses)
}

func pauses(f anomaly.Finding) bool { return f.Pause > 0 }

// anomalies compares a backup with the complete ones of the policy that come after it in a listing, newest first, or with
// all of them if it isn't listed yet.
func (r *run) anomalies(backups []catalog.Backup, latest catalog.Backup) []anomaly.Finding {
	if i := indexOf(backups, latest.File); i >= 0 {
		backups = backups[i+1:]
	}
	h := anomaly.History{Latest: compared(latest), Agreeing: max(r.config.Keep, leastAgreeing)}
	backups, h.Accepted = r.sinceAccepted(backups, latest.File)
	for _, b := range backups {
		if b.State == catalog.Complete && b.Header.Policy == r.config.Policy {
			h.Earlier = append(h.Earlier, compared(b))
		}
	}
	return anomaly.Detect(h)
}

// sinceAccepted leaves out the backups from before the one that a person accepted, and reports whether there is such a one
// that isn't the latest. That one may have been removed meanwhile; its name says when it was made.
func (r *run) sinceAccepted(backups []catalog.Backup, latest string) ([]catalog.Backup, bool) {
	name, ok := catalog.ParseName(r.config.AcceptChange)
	switch i := indexOf(backups, r.config.AcceptChange); {
	case !ok:
		return backups, false
	case r.config.AcceptChange == latest:
		return nil, false
	case i >= 0:
		return backups[:i+1], true
	case name.Time.After(r.now()):
		return backups, false // A slip of the pen must not switch the comparison off.
	}
	return slices.DeleteFunc(slices.Clone(backups), func(b catalog.Backup) bool { return !b.Name.Time.After(name.Time) }), true
}

func indexOf(backups []catalog.Backup, file string) int {
	return slices.IndexFunc(backups, func(b catalog.Backup) bool { return b.File == file })
}

func compared(b catalog.Backup) anomaly.Backup {
	return anomaly.Backup{Name: b.File, Sources: b.Summary.Sources}
}

// describePause says what follows from an anomaly in a backup, and what a person may do.
func describePause(agree int, file string) string {
	if agree == 0 {
		return fmt.Sprintf("If it is meant to be so, set acceptChange (--accept-change) to %s", file)
	}
	further := "1 more backup shows"
	if agree > 1 {
		further = fmt.Sprintf("%d more backups show", agree)
	}
	return fmt.Sprintf("No complete backup is removed until %s the same or, if the change is meant, acceptChange "+
		"(--accept-change) is set to %s", further, file)
}

// pauseHint says that complete backups aren't removed, why, and how to resume; empty if they are. Before the run has an
// archive, it is the newest one that decides.
func (r *run) pauseHint() string {
	latest := r.made
	if latest == nil {
		i := slices.IndexFunc(r.here, func(b catalog.Backup) bool {
			return b.State == catalog.Complete && b.Header.Policy == r.config.Policy
		})
		if i < 0 {
			return ""
		}
		latest = &r.here[i]
	}
	all := r.anomalies(r.here, *latest)
	i := slices.IndexFunc(all, pauses)
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("; older backups take space because %s. %s", all[i].Message, describePause(all[i].Pause, latest.File))
}

// explainSpace adds to a lack of space that older backups aren't removed.
func (r *run) explainSpace(err error) error {
	var f *fault
	hint := ""
	if errors.As(err, &f) {
		hint = r.pauseHint()
	}
	if hint == "" {
		return err
	}
	return &fault{reason: f.reason, err: fmt.Errorf("%w%s", f.err, hint), permanent: f.permanent}
}

// mountedIn returns the directories of each source in which the policy's backups saw other file systems mounted.
func mountedIn(backups []catalog.Backup, policy string) map[string][]string {
	mounted := map[string][]string{}
	for _, b := range backups {
		if !b.Good() || b.Header.Policy != policy {
			continue
		}
		for _, s := range b.Summary.Sources {
			for _, f := range s.FileSystems {
				if !slices.Contains(mounted[s.Name], f.Path) {
					mounted[s.Name] = append(mounted[s.Name], f.Path)
				}
			}
		}
	}
	return mounted
}
