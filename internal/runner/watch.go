// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
)

// stopGrace is how long the steps of a run that was told to stop may take to end in good order. It is shorter than what
// Kubernetes gives a pod (see the builder of the CronJob).
const stopGrace = 45 * time.Second

// knowledge is what is known for certain of a run between two steps.
type knowledge struct {
	report report.Report
	made   *catalog.Backup
	waits  []lockWait
	faults []*fault
}

// keep keeps what is known after a step, for an end without the steps.
func (r *run) keep() {
	k := &knowledge{report: r.report, made: r.made, waits: slices.Clone(r.waits), faults: slices.Clone(r.faults)}
	k.report.Findings = slices.Clone(r.report.Findings)
	if r.report.Sync != nil {
		sync := *r.report.Sync
		k.report.Sync = &sync
	}
	r.kept.Store(k)
}

// watched does the run in a goroutine that is left behind if it waits for a file system that doesn't answer, or doesn't
// end after it was told to stop. The run then ends with what is known.
func (r *run) watched(parent context.Context) (report.Report, int) {
	type ending struct {
		report report.Report
		exit   int
	}
	r.keep()
	watches, paths := r.watches(), strings.Join(r.paths(), ", ") // Before the steps find out what the sources really are.
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	ended := make(chan ending, 1)
	go func() {
		report, exit := r.toTheEnd(ctx)
		ended <- ending{report, exit}
	}()
	silent := make(chan *fault, 1)
	for _, w := range watches {
		go w.watch(ctx, silent)
	}
	var why *fault
	select {
	case e := <-ended:
		return e.report, e.exit
	case why = <-silent:
		cancel(why)
	case <-ctx.Done():
		why = &fault{reason: report.ReasonInterrupted, err: fmt.Errorf("the run was told to stop, and waits for a file system "+
			"that does not answer: check %s", paths)}
	}
	clock := time.NewTimer(min(stopGrace, patience*r.config.AnswerTimeout))
	defer clock.Stop()
	select {
	case e := <-ended:
		return e.report, e.exit
	case <-clock.C:
		return r.leave(why)
	}
}

// leave concludes a run whose steps don't return: with what was known when the last one did.
func (r *run) leave(why *fault) (report.Report, int) {
	known := r.kept.Load()
	rest := &run{
		config: r.config, log: r.log, now: r.now, report: known.report, made: known.made, waits: known.waits,
		faults: append(known.faults, why),
	}
	exit := rest.conclude()
	return rest.report, exit
}

// paths are the directories that the run looks at.
func (r *run) paths() []string {
	paths := []string{r.config.Directory}
	if r.config.RsyncDirectory != "" {
		paths = append(paths, r.config.RsyncDirectory)
	}
	for _, s := range r.config.Sources {
		paths = append(paths, s.Path)
	}
	return paths
}

// watch is a directory that is probed time after time as long as a run goes on.
type watch struct {
	path     string
	interval time.Duration
	probe    func()
	fault    func(error) *fault
}

// watches are what a run reads and writes for as long as it takes, without a limit for each call. The mirror isn't among
// them.
func (r *run) watches() []watch {
	interval := r.config.AnswerTimeout
	list := []watch{{
		path: r.config.Directory, interval: interval,
		probe: func() {
			_ = catalog.Probe(r.config.Directory, 0)
			_ = catalog.CheckOwner(r.config.Directory, r.config.Prefix, r.config.Policy)
			if lock := r.beating.Load(); lock != nil {
				lock.Beat()
			}
		},
		fault: func(err error) *fault { return directoryFault("--directory", r.config.Directory, err) },
	}}
	for _, s := range r.config.Sources {
		list = append(list, watch{
			path: s.Path, interval: interval,
			probe: func() { _ = catalog.Probe(s.Path, 0) },
			fault: func(err error) *fault {
				return sourceFault(fmt.Errorf("--source %s=%s: %w", s.Name, s.Path, err))
			},
		})
	}
	return list
}

// watch sends a fault when the directory has stopped answering.
func (w *watch) watch(ctx context.Context, silent chan<- *fault) {
	clock := time.NewTicker(w.interval)
	defer clock.Stop()
	for {
		_, err := catalog.Within(w.path, patience*w.interval, func() (struct{}, error) {
			w.probe()
			return struct{}{}, nil
		})
		if err != nil {
			select {
			case silent <- w.fault(err):
			default: // Another one was first.
			}
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
	}
}
