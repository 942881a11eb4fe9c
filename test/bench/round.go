// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// bench measures rounds: a round is all steps of all candidates, in turn, on one kind of file system.
type bench struct {
	plan    plan
	size    float64
	margin  time.Duration // by which the data is older than a backup
	dir     string        // scratch
	program string        // the built backup-operator
	results *results
}

// contestant is a candidate in a round.
type contestant struct {
	candidate
	short  string
	volume *volume
	made   int   // backups
	growth int64 // of the space by the backup of what had not changed
}

// round is what is there during a round.
type round struct {
	*bench
	filesystem  string
	source      *volume
	data        *dataSet
	contestants []*contestant
}

// run does the rounds of one run.
func (b *bench) run(ctx context.Context, run int) error {
	for _, filesystem := range b.plan.filesystems {
		r := &round{bench: b, filesystem: filesystem}
		err := r.prepare(ctx, run)
		if err == nil {
			err = r.measureAll(ctx)
		}
		if removed := r.remove(); err == nil {
			err = removed
		}
		if err != nil {
			return fmt.Errorf("on %s: %w", filesystem, err)
		}
	}
	return nil
}

// prepare makes the source, and for each candidate an empty volume and repository.
func (r *round) prepare(ctx context.Context, run int) error {
	volumeSize := int64(r.size*5*(1<<30)) * int64(r.plan.days+1) // With room for those that compress badly.
	var err error
	if r.source, err = newVolume(ctx, r.filesystem, filepath.Join(r.dir, "source"), volumeSize); err != nil {
		return err
	}
	r.data = newDataSet(filepath.Join(r.source.root, "data"), r.size)
	logf("%s: generating the data set", r.filesystem)
	if err := r.data.generate(ctx); err != nil {
		return fmt.Errorf("generate the data set: %w", err)
	}
	for _, short := range r.plan.candidates(r.filesystem, run) {
		c := &contestant{short: short}
		if c.volume, err = newVolume(ctx, r.filesystem, filepath.Join(r.dir, short), volumeSize); err != nil {
			return err
		}
		r.contestants = append(r.contestants, c)
		p := places{source: r.data.root, store: c.volume.root, cache: filepath.Join(r.dir, short+"-cache"), keep: r.plan.keep}
		if err := os.Mkdir(p.cache, 0o755); err != nil {
			return err
		}
		c.candidate = newCandidate(short, r.program, p)
		if err := c.prepare(ctx); err != nil {
			return err
		}
	}
	return nil
}

// remove removes all that prepare made.
func (r *round) remove() error {
	var failures []error
	for _, c := range r.contestants {
		failures = append(failures, c.volume.remove(), os.RemoveAll(filepath.Join(r.dir, c.short+"-cache")))
	}
	if r.source != nil {
		failures = append(failures, r.source.remove())
	}
	return errors.Join(failures...)
}

// measureAll does the steps in their order, each by all candidates in turn.
func (r *round) measureAll(ctx context.Context) error {
	if err := settle(ctx, r.margin); err != nil {
		return err
	}
	if err := r.each(ctx, first, r.backup); err != nil {
		return err
	}
	if err := r.each(ctx, unchanged, r.backupUnchanged); err != nil {
		return err
	}
	if err := r.measureWeek(ctx); err != nil {
		return err
	}
	if err := r.each(ctx, space, r.measureSpace); err != nil {
		return err
	}
	if err := r.each(ctx, sent, r.measureSent); err != nil {
		return err
	}
	if err := r.measureRestores(ctx); err != nil {
		return err
	}
	return r.each(ctx, verify, r.measureVerify)
}

// measureWeek measures a backup on each day after the first.
func (r *round) measureWeek(ctx context.Context) error {
	if !r.anyRuns(changed) {
		return nil
	}
	for range r.plan.days - 1 {
		if err := r.data.churn(ctx); err != nil {
			return fmt.Errorf("change the data set: %w", err)
		}
		if err := settle(ctx, r.margin); err != nil {
			return err
		}
		if err := r.each(ctx, changed, r.backup); err != nil {
			return err
		}
	}
	return nil
}

// each does a step by all candidates that have to.
func (r *round) each(ctx context.Context, s step, do func(context.Context, *contestant, step) error) error {
	for _, c := range r.contestants {
		if !r.plan.runs(r.filesystem, c.short, s) {
			continue
		}
		logf("%s/%s/%s", r.filesystem, c.short, s)
		if err := do(ctx, c, s); err != nil {
			return fmt.Errorf("%s: %s: %w", c.short, s, err)
		}
	}
	return nil
}

func (r *round) anyRuns(s step) bool {
	for _, c := range r.contestants {
		if r.plan.runs(r.filesystem, c.short, s) {
			return true
		}
	}
	return false
}

// settle waits until what was written a moment ago is older than the margin, so that no candidate has to doubt it: a file
// that changed in the moment of a backup could change again without its times moving.
func settle(ctx context.Context, margin time.Duration) error {
	select {
	case <-time.After(margin):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
