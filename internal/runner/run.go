// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package runner is one run of a policy: what a backup's pod does, or a cron job on a machine without Kubernetes.
//
// A run is a row of steps, one file each:
//
//	lock     wait for other runs in the backup directory to end, then keep them out
//	check    writable, not another policy's, enough space; clear what killed runs left
//	archive  write everything under a temporary name, taking over from the archive before what hasn't changed; flush it,
//	         give it its name
//	compare  look for what is unusual about it, and pause the removal of complete backups if anything is
//	sync     bring to the mirror what it lacks
//	prune    remove what is beyond the number to keep, in the backup directory and in the mirror
//	report   say how it went
//
// Nothing is removed before its replacement is safe, and a step that fails leaves what was there before intact. The
// order and these rules make it so:
//
//   - A run that ends before its archive has its name removes nothing but its own partial file.
//   - The backup directory is pruned when the archive is good, even if the sync failed: otherwise a mirror that is away
//     for weeks would fill the disk until there are no more backups at all. That costs the mirror nothing, because a
//     backup that the mirror would keep is kept here by the same rules (see catalog.Retain).
//   - The mirror is pruned by its own listing, only after everything was sent, and never because something is missing
//     here: an empty or unmounted backup directory takes nothing from it.
//   - A mirror that can't be reached, or doesn't answer, doesn't keep a run from making its archive. The run still fails,
//     and a retry finds the archive and continues from there.
//   - A file system that doesn't answer doesn't keep a run from ending with its report.
package runner

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
	"appliance.io/backup-operator/internal/rsync"
)

// Environment is what a run takes from the outside besides its configuration.
type Environment struct {
	// Log is where the run tells what it is doing.
	Log *slog.Logger
	// Now is the clock.
	Now func() time.Time
}

// run is the state of a run while it goes through its steps.
type run struct {
	config Config
	log    *slog.Logger
	now    func() time.Time
	report report.Report
	// commit is NewBackup.Commit, but for tests of what happens when it fails.
	commit func(*catalog.NewBackup) error

	rsync       rsync.Command
	held        *catalog.Lock
	here        []catalog.Backup          // The backup directory as it was when the run began.
	previous    *os.File                  // The archive to reuse from; nil if there is none.
	earlier     archive.Summary           // What that archive says is in it.
	measurement archive.Measurement       // What there is to be done, as far as one knows before.
	examined    map[string]catalog.Backup // Backups whose records were read, by path, as they turned out to be.
	past        []catalog.Backup          // What the run could see of earlier backups, in the mirror too.
	paused      bool                      // Complete backups aren't removed, because the run's own is unusual.
	made        *catalog.Backup           // The run's own archive: nil until it has its name.
	storage     *directory                // The backup directory.
	mirror      *mirror                   // nil if there is none.
	waits       []lockWait                // For whom the run waited.
	faults      []*fault                  // What went wrong; the first one decides.

	beating atomic.Pointer[catalog.Lock] // held, for those who watch the run.
	kept    atomic.Pointer[knowledge]    // What is known for certain, should a step never return.
}

// Run does one run and returns what is to be said of it, with the exit status. It never returns without a report. When
// ctx is done, the run ends soon, leaves nothing half-done, and says that it was interrupted.
func Run(ctx context.Context, config Config, env Environment) (report.Report, int) {
	return newRun(config, env).do(ctx)
}

func newRun(config Config, env Environment) *run {
	config.Sources = slices.Clone(config.Sources)
	r := &run{
		config: config, log: env.Log, now: env.Now, commit: (*catalog.NewBackup).Commit,
		storage:  &directory{place: place{"--directory", config.Directory}, limit: config.AnswerTimeout},
		mirror:   newMirror(&config),
		examined: map[string]catalog.Backup{},
	}
	r.report = report.Report{
		Version: report.Version, Policy: config.Policy, Run: config.Run, StartTime: env.Now().UTC().Truncate(time.Second),
	}
	return r
}

// do does the run, and watches it: a step may never return from a file system that doesn't answer.
func (r *run) do(ctx context.Context) (report.Report, int) {
	if r.config.AnswerTimeout <= 0 {
		return r.toTheEnd(ctx)
	}
	return r.watched(ctx)
}

// toTheEnd does the run, however long it takes.
func (r *run) toTheEnd(ctx context.Context) (report.Report, int) {
	r.steps(ctx)
	r.closePrevious()
	exit := r.conclude()
	r.release()
	return r.report, exit
}

// steps goes through the steps. Those up to the archive end the run when they fail. A sync that fails does not keep
// the backup directory from being pruned.
func (r *run) steps(ctx context.Context) {
	for _, step := range []struct {
		name      string
		otherwise report.Reason
		do        func(context.Context) error
	}{
		{"check the settings", report.ReasonInvalidSettings, r.checkSettings},
		{"lock", report.ReasonDirectoryNotWritable, r.lock},
		{"check", report.ReasonDirectoryNotWritable, r.check},
		{"archive", report.ReasonArchiveFailed, r.archive},
	} {
		if !r.step(ctx, step.name, step.otherwise, step.do) {
			return
		}
	}
	r.findUnusual()
	r.step(ctx, "sync", report.ReasonSyncFailed, r.sync)
	if ctx.Err() == nil {
		r.step(ctx, "prune", report.ReasonPruneFailed, r.prune)
	}
}

// step does one step and reports whether it went well.
func (r *run) step(ctx context.Context, name string, otherwise report.Reason, do func(context.Context) error) bool {
	err := ctx.Err()
	if err == nil {
		err = do(ctx)
	}
	if err != nil {
		f := asFault(ctx, err, otherwise)
		r.log.Error("the step failed", "step", name, "reason", f.reason, "error", f.err)
		r.faults = append(r.faults, f)
	}
	r.keep()
	return err == nil
}

// release gives the locks back.
func (r *run) release() {
	err := r.mirror.release()
	if r.held != nil {
		err = errors.Join(err, r.storage.do(r.held.Release))
	}
	if err != nil {
		r.log.Warn("releasing a lock", "error", err)
	}
}
