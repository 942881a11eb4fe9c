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

// conclude completes the report and returns the exit status.
func (r *run) conclude() int {
	r.describeDirectories()
	r.findDamage()
	r.report.CompletionTime = r.now().UTC().Truncate(time.Second)
	outcome, reason, message, exit := r.verdict()
	message += r.describeWaits()
	r.report.Outcome, r.report.Reason, r.report.Message = outcome, reason, message
	r.log.Info("done", "outcome", outcome, "reason", reason, "message", message)
	return exit
}

// find adds a finding to the report and logs it.
func (r *run) find(reason report.FindingReason, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	r.log.Warn("found a problem", "reason", reason, "message", message)
	r.report.Findings = append(r.report.Findings, report.Finding{Reason: reason, Message: message})
}

// verdict says how the run ended. A fault comes before an incomplete archive, the first fault before later ones.
func (r *run) verdict() (report.Outcome, report.Reason, string, int) {
	if len(r.faults) == 0 {
		return r.verdictOfArchive()
	}
	var texts []string
	for _, f := range r.faults {
		texts = append(texts, oneLine(f.err))
	}
	message := strings.Join(texts, "; ")
	if r.made != nil {
		message = fmt.Sprintf("The archive %s is %s, but: %s", r.made.File, adjective(r.made.State), message)
	}
	if r.faults[0].permanent {
		return report.Failed, r.faults[0].reason, message, report.ExitInvalid
	}
	return report.Failed, r.faults[0].reason, message, report.ExitFailed
}

// verdictOfArchive is the verdict when every step went well.
func (r *run) verdictOfArchive() (report.Outcome, report.Reason, string, int) {
	summary := r.made.Summary
	if r.made.State == catalog.Complete {
		message := fmt.Sprintf("%s holds %s in %s%s", r.made.File, countFiles(summary.Files), humanBytes(r.made.Bytes),
			describeReuse(r.report.Archive.Reuse))
		return report.Succeeded, "", message, report.ExitSucceeded
	}
	var why []string
	reason := report.ReasonFilesUnreadable
	if emptied := summary.Emptied(); len(emptied) > 0 {
		reason = report.ReasonSourceEmpty
		why = append(why, fmt.Sprintf("nothing was found in %s, which held files in the previous complete backup: look whether "+
			"the volume is mounted (if it is meant to be empty, put one file into it or take the source out)",
			strings.Join(emptied, ", ")))
	}
	if missing := summary.Warnings.Unreadable + summary.Warnings.Shrank; missing > 0 {
		why = append(why, fmt.Sprintf("%s could not be read in full: see the warnings", countFiles(missing)))
	}
	message := fmt.Sprintf("%s is incomplete: %s", r.made.File, strings.Join(why, "; "))
	return report.Incomplete, reason, message, report.ExitIncomplete
}

// describeDirectories tells what the directories hold now. It is left out where it can't be known.
func (r *run) describeDirectories() {
	if r.held == nil {
		return // Not reached, or not ours to speak of.
	}
	here, err := r.list(r.storage)
	if err == nil {
		r.report.Backups = r.sumUp(here)
	}
	if space, err := r.storage.space(); err == nil {
		r.report.Storage = &report.Space{Free: space.Free, Total: space.Total}
	}
	var mirror []catalog.Backup
	if r.report.Sync != nil && r.mirror.reachable() {
		if mirror, err = r.list(&r.mirror.directory); err == nil {
			r.report.Sync.Backups = r.sumUp(mirror).Count
		}
	}
	r.findInListings(here, mirror)
	r.findLeftovers("backup directory", r.storage)
	if r.report.Sync != nil && r.mirror.reachable() {
		r.findLeftovers("mirror", &r.mirror.directory)
	}
}

// sumUp sums up the policy's own good backups in a listing.
func (r *run) sumUp(backups []catalog.Backup) *report.Backups {
	own := slices.DeleteFunc(slices.Clone(backups), func(b catalog.Backup) bool {
		return !b.Good() || b.Header.Policy != r.config.Policy
	})
	sum := &report.Backups{Count: len(own)}
	for _, b := range own {
		sum.Bytes += b.Bytes
		sum.Newest = append(sum.Newest, report.Backup{Name: b.File, Bytes: b.Bytes, Incomplete: b.State == catalog.Incomplete})
	}
	return sum
}

func countFiles(n int64) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

func adjective(s catalog.State) string { return strings.ToLower(string(s)) }

// oneLine puts an error of several lines on one.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
