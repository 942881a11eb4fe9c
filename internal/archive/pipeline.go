// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"sync"
)

// pipeline makes frames in parallel and writes them in the order in which they were submitted. A frame goes round in a
// circle, and their fixed number bounds memory:
//
//	free → (the walk fills in what is to be in it) → work and order → (a worker reads and compresses, or checks)
//	     → (the sink writes or takes over, reports and counts) → written → (the indexer hashes and indexes) → free
type pipeline struct {
	ctx    context.Context
	cancel context.CancelCauseFunc

	free, work, order, written chan *frame

	workers, sink, index sync.WaitGroup
	needsWorker          func(*frame) bool
	output               *output
	indexer              *indexer
	seek                 seekTable
	summary              *Summary
	reuse                *Reuse
	unreadable           []bool // by source: something in it could not be read
	options              *Options
}

// newPipeline starts the goroutines. The caller submits frames and then calls wait.
func newPipeline(
	ctx context.Context, out *output, old *previous, summary *Summary, reuse *Reuse, opts *Options,
) (*pipeline, error) {
	workers := make([]*worker, opts.Concurrency)
	for i := range workers {
		c, err := newCompressor(opts.Level)
		if err != nil {
			return nil, err
		}
		workers[i] = &worker{compressor: c, old: old, copies: out.method == MethodCopy, runs: opts.VerifyRuns}
	}
	x, err := newIndexer(summary.Sources, opts.Checksums)
	if err != nil {
		return nil, err
	}
	// Each worker has one in hand and one waiting; the others are with the walk, the sink and the indexer.
	frames := 2*opts.Concurrency + 3
	p := &pipeline{
		free: make(chan *frame, frames), work: make(chan *frame, frames),
		order: make(chan *frame, frames), written: make(chan *frame, frames),
		needsWorker: workers[0].needsWorker, output: out, indexer: x, summary: summary, reuse: reuse,
		unreadable: make([]bool, len(summary.Sources)), options: opts,
	}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	for range frames {
		p.free <- newFrame()
	}
	for _, w := range workers {
		p.workers.Go(func() { p.build(w) })
	}
	p.sink.Go(p.write)
	p.index.Go(p.takeDown)
	return p, nil
}

// acquire waits for a frame that is free.
func (p *pipeline) acquire() (*frame, error) {
	// A done context wins, where select would choose by chance.
	if err := context.Cause(p.ctx); err != nil {
		return nil, err
	}
	select {
	case f := <-p.free:
		return f, nil
	case <-p.ctx.Done():
		return nil, context.Cause(p.ctx)
	}
}

// submit sends a frame on its way. It never blocks: the channels have room for all frames.
func (p *pipeline) submit(f *frame) {
	p.order <- f
	if p.needsWorker(f) {
		p.work <- f
		return
	}
	f.take(f.old.Age + 1)
	f.done <- struct{}{}
}

// wait ends the pipeline, with err if the walk failed, and returns once every frame has been written or, after an
// error, given up.
func (p *pipeline) wait(err error) error {
	p.fail(err)
	close(p.work)
	close(p.order)
	p.workers.Wait()
	p.sink.Wait()
	close(p.written)
	p.index.Wait()
	err = context.Cause(p.ctx)
	p.cancel(nil)
	return err
}

func (p *pipeline) build(w *worker) {
	for f := range p.work {
		if p.ctx.Err() == nil {
			p.fail(w.build(f))
		}
		f.done <- struct{}{}
	}
}

// fail ends the pipeline with an error, if there is one.
func (p *pipeline) fail(err error) {
	if err != nil {
		p.cancel(err)
	}
}

// write is the sink. It alone writes, counts and calls the caller's functions.
func (p *pipeline) write() {
	for f := range p.order {
		<-f.done
		if p.ctx.Err() == nil {
			p.fail(p.put(f))
		}
		f.release()
		p.written <- f
	}
	if p.ctx.Err() == nil {
		p.fail(p.output.flush())
	}
}

// put writes a frame, or what there is of it, and tells of it.
func (p *pipeline) put(f *frame) error {
	f.finish()
	for i := range f.warnings {
		if err := f.warnings[i].shortage; err != nil {
			return err
		}
	}
	// A block of the index holds frames that follow each other, and a file that goes on needs its block: nothing comes
	// between its frames, whatever there is to be reported meanwhile.
	if f.chunk.isZero() && !f.isEmpty() {
		if err := p.putRecords(heldRecords); err != nil {
			return err
		}
	}
	f.offset = p.output.size
	var err error
	switch {
	case f.isEmpty():
	case f.taken && len(f.out) == 0:
		err = p.output.take(f.old.offset, f.info.Stored)
	default:
		err = p.output.write(f.out)
	}
	if err == nil {
		p.report(f)
	}
	return err
}

// putRecords writes the finished part of the index, if there is enough of it.
func (p *pipeline) putRecords(atLeast int) error {
	records := p.indexer.takeRecords(p.output.size, atLeast)
	if len(records) == 0 {
		return nil
	}
	p.seek.skip(int64(len(records)))
	return p.output.write(records)
}

func (p *pipeline) report(f *frame) {
	source := &p.summary.Sources[f.source]
	for i := range f.entries {
		p.summary.add(f.source, &f.entries[i])
	}
	p.summary.addBytes(f.source, f.data())
	p.summary.Excluded += f.excluded
	p.summary.BytesTar += f.info.Content
	p.reuse.add(f)
	if !f.isEmpty() {
		p.seek.add(f.info.Stored, f.info.Content)
	}
	for _, w := range f.warnings {
		p.summary.warn(w.Kind)
		if w.Kind == Unreadable {
			p.unreadable[f.source] = true
		}
		if p.options.Warn != nil {
			w.Source = source.Name
			p.options.Warn(w)
		}
	}
	if p.options.Progress != nil {
		p.options.Progress(Progress{
			Source: source.Name, Files: p.summary.Files,
			BytesRead: p.summary.BytesRead, BytesWritten: p.output.size,
		})
	}
}

// takeDown is the indexer's goroutine.
func (p *pipeline) takeDown() {
	for f := range p.written {
		if p.ctx.Err() == nil {
			p.indexer.add(f)
		}
		f.reset()
		p.free <- f
	}
}
