// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"os"
	"runtime/debug"
	"sync"
)

// pipeline makes frames in parallel and writes them in the order in which they were submitted. A frame goes round in a
// circle, and their fixed number bounds memory:
//
//	free → (the walk fills in what is to be in it) → work and order → (a worker reads and compresses)
//	     → (the sink writes, reports and counts) → hash → (the hasher hashes) → free
type pipeline struct {
	ctx    context.Context
	cancel context.CancelCauseFunc

	free, work, order, hash chan *frame

	workers, sink, hasher sync.WaitGroup
	output                *output
	summary               *Summary
	unreadable            []bool // by source: something in it could not be read
	options               *Options
}

// newPipeline starts the goroutines. The caller submits frames and then calls wait.
func newPipeline(ctx context.Context, out *output, summary *Summary, opts *Options) (*pipeline, error) {
	compressors := make([]*compressor, opts.Concurrency)
	for i := range compressors {
		c, err := newCompressor(opts.Level)
		if err != nil {
			return nil, err
		}
		compressors[i] = c
	}
	// Each worker has one in hand and one waiting; the others are with the walk, the sink and the hasher.
	frames := 2*opts.Concurrency + 3
	p := &pipeline{
		free: make(chan *frame, frames), work: make(chan *frame, frames),
		order: make(chan *frame, frames), hash: make(chan *frame, frames),
		output: out, summary: summary, unreadable: make([]bool, len(summary.Sources)), options: opts,
	}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	for range frames {
		p.free <- newFrame()
	}
	for _, c := range compressors {
		p.workers.Go(func() { p.build(c) })
	}
	p.sink.Go(p.write)
	p.hasher.Go(p.sum)
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
	p.work <- f
}

// wait ends the pipeline, with err if the walk failed, and returns once every frame has been written or, after an
// error, given up.
func (p *pipeline) wait(err error) error {
	if err != nil {
		p.cancel(err)
	}
	close(p.work)
	close(p.order)
	p.workers.Wait()
	p.sink.Wait()
	close(p.hash)
	p.hasher.Wait()
	err = context.Cause(p.ctx)
	p.cancel(nil)
	return err
}

func (p *pipeline) build(c *compressor) {
	for f := range p.work {
		if p.ctx.Err() == nil {
			p.guard(func() { f.build(c) })
		}
		f.done <- struct{}{}
	}
}

// guard turns a panic into an error of the whole archive. Left alone, a panic in a goroutine ends the program with the
// exit status that means wrong settings, and nobody tries again.
func (p *pipeline) guard(do func()) {
	defer func() {
		if v := recover(); v != nil {
			p.cancel(fmt.Errorf("internal error, please report it: %v\n%s", v, debug.Stack()))
		}
	}()
	do()
}

// write is the sink. It alone counts and calls the caller's functions.
func (p *pipeline) write() {
	for f := range p.order {
		<-f.done
		if p.ctx.Err() == nil {
			f.finish()
			if err := p.output.write(f.out); err != nil {
				p.cancel(err)
			} else {
				p.report(f)
			}
		}
		f.release()
		p.hash <- f
	}
}

func (p *pipeline) report(f *frame) {
	source := &p.summary.Sources[f.source]
	p.summary.add(f.source, &f.tally)
	p.summary.BytesTar += int64(len(f.in))
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

func (p *pipeline) sum() {
	for f := range p.hash {
		p.output.sum.Write(f.out)
		f.reset()
		p.free <- f
	}
}

// output is the file that is written. Its hash is taken apart from writing, in the same order.
type output struct {
	file *os.File
	size int64
	sum  hash.Hash
}

func newOutput(f *os.File) *output {
	return &output{file: f, sum: sha256.New()}
}

func (o *output) write(b []byte) error {
	n, err := o.file.Write(b)
	o.size += int64(n)
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

// writeAndSum is for what isn't in a frame, while no frames are on their way.
func (o *output) writeAndSum(b []byte) error {
	o.sum.Write(b)
	return o.write(b)
}
