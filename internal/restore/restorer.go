// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"sync"

	"appliance.io/backup-operator/internal/archive"
)

// restorer is one run.
type restorer struct {
	archive *archive.Archive
	lookup  *lookup
	roots   roots
	options *Options
	ledger  ledger

	ctx    context.Context
	cancel context.CancelCauseFunc

	free, work, order chan *job
	decoder           *archive.Decoder
	// huge holds a token while a frame of unusual size is on its way: there is never more than one.
	huge chan struct{}

	names  *temporaryNames
	clocks *clocks
	// foldings are those of the targets' directories, as far as they are known. They are the plan's.
	foldings map[foldingKey]folding

	// again are the files that looked like those in the archive and weren't. anew says that this pass is for them.
	again map[string]bool
	anew  bool
}

// pass restores what is selected.
func (r *restorer) pass(ctx context.Context, sel *selection) error {
	workers := max(1, r.options.Concurrency)
	// Each worker has one in hand and one waiting; the others are with the plan and the sink.
	jobs := 2*workers + 3
	r.free, r.work, r.order = make(chan *job, jobs), make(chan *job, jobs), make(chan *job, jobs)
	r.huge = make(chan struct{}, 1)
	for range jobs {
		r.free <- newJob()
	}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	r.decoder = archive.NewDecoder(workers)
	defer r.decoder.Close()

	var working, sinking sync.WaitGroup
	for range workers {
		working.Go(r.build)
	}
	sinking.Go(r.sink)
	p := &planner{r: r, sel: sel}
	if err := p.plan(); err != nil {
		r.cancel(err)
	}
	p.leave()
	close(r.work)
	close(r.order)
	working.Wait()
	sinking.Wait()
	err := context.Cause(r.ctx)
	r.cancel(nil)
	return err
}

// acquire waits for a job that is free.
func (r *restorer) acquire() (*job, error) {
	if err := context.Cause(r.ctx); err != nil {
		return nil, err
	}
	select {
	case j := <-r.free:
		return j, nil
	case <-r.ctx.Done():
		return nil, context.Cause(r.ctx)
	}
}

// submit sends a job on its way. It blocks only for frames of unusual size: the channels have room for all jobs.
func (r *restorer) submit(j *job) {
	if j.huge = j.frame.Stored > maxKept || j.frame.Content > maxKept; j.huge {
		r.huge <- struct{}{}
	}
	r.order <- j
	r.work <- j
}

func (r *restorer) build() {
	for j := range r.work {
		if r.ctx.Err() == nil {
			if err := r.do(j); err != nil {
				r.cancel(err)
			}
		}
		j.settle()
		j.done <- struct{}{}
	}
}

// sink does what must be done in order.
func (r *restorer) sink() {
	for j := range r.order {
		<-j.done
		if r.ctx.Err() == nil {
			if err := r.finish(j); err != nil {
				r.cancel(err)
			}
		}
		j.release()
		if j.huge {
			<-r.huge
		}
		if r.ctx.Err() == nil && r.options.Progress != nil {
			r.options.Progress(r.ledger.progress())
		}
		r.free <- j
	}
}
