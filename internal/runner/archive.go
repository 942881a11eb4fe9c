// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
)

// resume finds the archive that an earlier attempt of the same run made, if there is one, and takes it for this
// attempt's own: what is left to do is the rest. That may be an incomplete one: an attempt that ended with it, and nothing
// else amiss, isn't tried again, so what this one is for is what failed after it. Complete ones are preferred.
func (r *run) resume() bool {
	if r.config.Run == "" {
		return false
	}
	for _, state := range []catalog.State{catalog.Complete, catalog.Incomplete} {
		for _, b := range r.here {
			if b.State == state && b.Header.Policy == r.config.Policy && b.Header.Run == r.config.Run {
				r.log.Info("an earlier attempt of this run made the archive", "archive", b.File, "state", b.State)
				r.takeArchive(b)
				return true
			}
		}
	}
	return false
}

// archive writes the archive, unless there is one already.
func (r *run) archive(ctx context.Context) error {
	if r.made != nil {
		return nil
	}
	now := r.now().UTC()
	mirrored := r.mirror.fileNames()
	pending, err := look(r.storage, func() (*catalog.NewBackup, error) {
		return catalog.Create(r.config.Directory, r.config.Prefix, now, mirrored)
	})
	if err != nil {
		return err
	}
	r.past = r.known()
	header := archive.Header{
		Format: archive.Format, Policy: r.config.Policy, Run: r.config.Run,
		CreatedAt: now.Truncate(time.Second), Sequence: catalog.NextSequence(r.past, now),
		Tool: r.config.Tool, Level: cmp.Or(r.config.Level, archive.DefaultLevel),
	}
	r.log.Info("archiving", "archive", pending.Name())
	began := time.Now()
	result, err := r.write(ctx, pending, header)
	if err != nil {
		return r.explainWrite(pending, errors.Join(err, pending.Abort()))
	}
	err = r.commit(pending)
	if err != nil && !errors.Is(err, catalog.ErrNotFlushed) {
		return r.explainWrite(pending, err)
	}
	state := catalog.Incomplete
	if result.Summary.Complete {
		state = catalog.Complete
	}
	name, _ := catalog.ParseName(pending.Name())
	b := catalog.Backup{
		File: pending.Name(), Name: name, Bytes: result.Size, State: state, Header: header, Summary: result.Summary,
	}
	r.takeArchive(b)
	r.log.Info("archived", "archive", b.File, "state", b.State, "files", result.Summary.Files,
		"bytesRead", result.Summary.BytesRead, "bytesWritten", result.Size, "new", result.Reuse.NewBytes,
		"reused", result.Reuse.ReusedBytes, "shared", result.Reuse.SharedBytes, "verified", result.Reuse.VerifiedBytes,
		"method", result.Reuse.Method, "warnings", result.Summary.Warnings.Total(),
		"took", time.Since(began).Round(time.Millisecond))
	r.reportReuse(result.Reuse)
	if err != nil {
		return fmt.Errorf("--directory: %w: a power failure may take the archive's name away, so nothing older is removed: look "+
			"at the health of the storage; the next try goes on from the archive", err)
	}
	return nil
}

// write writes the archive into the partial file, telling of progress and warnings.
func (r *run) write(ctx context.Context, pending *catalog.NewBackup, header archive.Header) (archive.Result, error) {
	progress := r.watchArchive()
	defer progress.stop()
	warnings := warningLog{log: r.log}
	result, err := archive.Write(ctx, pending.File(), r.sourcesWithPast(r.past), archive.Options{
		Header: header, Level: r.config.Level, Concurrency: r.config.Concurrency, VerifyRuns: r.config.verifyRuns(),
		Previous: r.previous, Destinations: r.destinations(), Checksums: pending.Checksums(),
		Progress: progress.set, Warn: warnings.add,
	})
	warnings.end()
	if err != nil {
		return result, err
	}
	if total := result.Summary.Warnings.Total(); total > 0 {
		r.report.Warnings = &report.Warnings{Count: total, First: warnings.first()}
	}
	return result, ctx.Err()
}

// destinations are the directories that the run writes to. checkOverlap refuses what shows in their paths; this is for
// what only shows in the sources, such as the storage's volume mounted there as well.
//
// One that isn't there or doesn't answer holds nothing that could be archived by mistake.
func (r *run) destinations() []archive.OutputDirectory {
	var found []archive.OutputDirectory
	if d, err := archive.FindOutputDirectory(r.config.Directory); err == nil {
		found = append(found, d)
	}
	if m := r.mirror; m != nil {
		d, err := look(&m.directory, func() (archive.OutputDirectory, error) { return archive.FindOutputDirectory(m.path) })
		if err == nil {
			found = append(found, d)
		}
	}
	return found
}

// takeArchive makes a backup the run's own.
func (r *run) takeArchive(b catalog.Backup) {
	r.made = &b
	r.report.Archive = &report.Archive{
		Name: b.File, BytesRead: b.Summary.BytesRead, BytesWritten: b.Bytes, Files: b.Summary.Files,
	}
	if total := b.Summary.Warnings.Total(); total > 0 && r.report.Warnings == nil {
		r.report.Warnings = &report.Warnings{Count: total}
	}
}

// explainWrite says what became of an archive that could not be written.
func (r *run) explainWrite(pending *catalog.NewBackup, err error) error {
	if !isNoSpace(err) {
		return fmt.Errorf("the archive %s could not be written, and nothing is left of it: %w", pending.Name(), err)
	}
	space, spaceErr := r.storage.space()
	free := "an unknown amount"
	if spaceErr == nil {
		free = humanBytes(space.Free)
	}
	expected := ""
	if n := r.measurement.EstimatedBytes; n > 0 {
		expected = "about " + humanBytes(n) + " were expected to be needed, "
	}
	return fmt.Errorf("--directory %s ran out of space while the archive %s was written: %s%s are free after what was written "+
		"has been removed; earlier backups are intact: %s or make the volume bigger (%w)%s", r.config.Directory,
		pending.Name(), expected, free, freeSpace, err, r.pauseHint())
}
