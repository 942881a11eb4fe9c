// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
)

// openPrevious opens the archive that this run's own may take over from what hasn't changed since. That there is none
// costs time and space and nothing else, so nothing here ends a run.
func (r *run) openPrevious() {
	if r.config.NoReuse {
		r.log.Info("reusing nothing, as it was asked for")
		return
	}
	b, ok := r.reusable()
	if !ok {
		r.log.Info("there is no earlier archive to reuse anything from")
		return
	}
	f, err := look(r.storage, func() (*os.File, error) { return catalog.Open(r.config.Directory, b) })
	if err != nil {
		r.log.Warn("the earlier archive can't be reused", "previous", b.File, "error", err)
		return
	}
	r.previous, r.earlier = f, b.Summary
	r.log.Info("reusing what hasn't changed", "previous", b.File)
}

// reusable returns the archive to reuse from. Damaged ones are passed over.
func (r *run) reusable() (catalog.Backup, bool) {
	for {
		b, ok := reusable(r.here, r.config.Policy)
		if !ok || r.examine(r.storage)(b).Good() {
			return b, ok
		}
		r.here = r.withExamined(r.storage, r.here)
	}
}

// closePrevious lets go of it.
func (r *run) closePrevious() {
	if r.previous != nil {
		r.previous.Close()
		r.previous = nil
	}
}

// reusable returns the newest of a policy's good archives that can be reused. One that found a source empty is only
// taken for want of another: when the source is mounted again, all of it would have to be read. The listing is ordered
// newest first.
func reusable(backups []catalog.Backup, policy string) (catalog.Backup, bool) {
	var found catalog.Backup
	for _, b := range backups {
		if !b.Good() || b.Header.Policy != policy || b.Header.Format != archive.Format {
			continue
		}
		if len(b.Summary.Emptied()) == 0 {
			return b, true
		}
		if !found.Good() {
			found = b
		}
	}
	return found, found.Good()
}

// reportReuse tells what became of the archive's bytes. Whether the earlier archive is sound is for the warnings to say:
// it may also be that one that could not be relied on was given up as a whole.
func (r *run) reportReuse(reuse archive.Reuse) {
	said := &report.Reuse{
		Previous: reuse.Previous, Method: report.ReuseMethod(reuse.Method),
		ReusedBytes: reuse.ReusedBytes, SharedBytes: reuse.SharedBytes, NewBytes: reuse.NewBytes,
		VerifiedBytes: reuse.VerifiedBytes, DamagedFrames: r.made.Summary.Warnings.Damaged,
	}
	r.report.Archive.Reuse = said
	if said.DamagedFrames > 0 {
		r.distrustPrevious()
	}
	if said.DamagedFrames > 0 && said.Previous == "" && r.previous != nil {
		said.Previous = filepath.Base(r.previous.Name())
	}
}

// describeReuse says in words how much of an archive is new and how much was reused, as the end of a sentence that
// has said how big it is; empty if it isn't known.
func describeReuse(reuse *report.Reuse) string {
	switch {
	case reuse == nil:
		return ""
	case reuse.ReusedBytes == 0:
		return ", all of it new"
	}
	how := "copied"
	switch {
	case reuse.SharedBytes >= reuse.ReusedBytes:
		how = "taking no space of their own"
	case reuse.SharedBytes > 0:
		how = fmt.Sprintf("of which %s take no space of their own", report.ShortBytes(reuse.SharedBytes))
	case reuse.Method == report.ReuseServerCopy:
		how = "copied by the server"
	}
	return fmt.Sprintf(": %s are new, %s are reused from %s, %s", report.ShortBytes(reuse.NewBytes),
		report.ShortBytes(reuse.ReusedBytes), reuse.Previous, how)
}

// findDamage adds a finding if something was wrong with an earlier archive.
func (r *run) findDamage() {
	if r.made == nil || r.made.Summary.Warnings.Damaged == 0 {
		return
	}
	damaged := cmp.Or(r.made.Summary.DamagedPrevious, "before it")
	r.find(report.FindingArchiveDamaged, "the archive %s is damaged, or was changed, in the storage; the new one, %s, is "+
		"whole, because what could not be relied on was read from the sources again: check the health of the storage, and "+
		"verify all archives in --directory %s with backup-operator verify (%s)", damaged, r.made.File, r.config.Directory,
		report.VolumeShell)
}
