// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"appliance.io/backup-operator/internal/archive/index"
)

var (
	errContent = errors.New("the content of the file isn't what was archived")
	errPadding = errors.New("what fills the last block isn't zeros")
)

// checkJob is one frame on its way, or something to be told in its place.
type checkJob struct {
	told *Problem

	offset  int64
	frame   index.Frame
	entries []index.Entry
	at      []int64   // where they begin in the content
	big     *bigCheck // the file that goes on in or after the frame
	length  int64     // how much of its data is in a frame that goes on with it
	last    bool      // it ends in the frame
	skip    bool      // what is in the frame can't be told

	buffers *checkBuffers
	begun   []byte // what of the file is in the frame in which it begins
	content []byte
	wrong   []Problem
	err     error // the frame is damaged
	done    chan struct{}
}

// checkBuffers are used again and again; their number bounds memory.
type checkBuffers struct{ stored, content []byte }

// frameChecker checks frames in parallel, and tells of them in order.
type frameChecker struct {
	v       *verifier
	ctx     context.Context
	cancel  context.CancelCauseFunc
	decoder *Decoder

	free        chan *checkBuffers
	work, order chan *checkJob
	huge        chan struct{} // holds a token while a frame of unusual size is on its way

	workers, teller sync.WaitGroup
}

func newFrameChecker(ctx context.Context, v *verifier) *frameChecker {
	n := 2*v.options.Concurrency + 2
	c := &frameChecker{
		v: v, decoder: NewDecoder(v.options.Concurrency), free: make(chan *checkBuffers, n),
		work: make(chan *checkJob, n), order: make(chan *checkJob, n), huge: make(chan struct{}, 1),
	}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	for range n {
		c.free <- &checkBuffers{}
	}
	for range v.options.Concurrency {
		c.workers.Go(c.check)
	}
	c.teller.Go(c.tell)
	return c
}

// submit sends a job on its way, and waits until there is room for it.
func (c *frameChecker) submit(j *checkJob) error {
	if err := context.Cause(c.ctx); err != nil {
		return err
	}
	select {
	case j.buffers = <-c.free:
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
	if j.isHuge() {
		c.huge <- struct{}{}
	}
	j.done = make(chan struct{}, 1)
	c.order <- j
	c.work <- j
	return nil
}

func (j *checkJob) isHuge() bool { return max(j.frame.Stored, j.frame.Content) > maxCheckKept }

// maxCheckKept is the size of the buffers that are kept for the next frame.
const maxCheckKept = 4 << 20

// wait ends it, with err if there is one, and returns when all that was submitted has been told of.
func (c *frameChecker) wait(err error) error {
	if err != nil {
		c.cancel(err)
	}
	close(c.work)
	close(c.order)
	c.workers.Wait()
	c.teller.Wait()
	c.decoder.Close()
	err = context.Cause(c.ctx)
	c.cancel(nil)
	return err
}

// check is a worker.
func (c *frameChecker) check() {
	for j := range c.work {
		if j.told == nil && c.ctx.Err() == nil {
			c.checkFrame(j)
		}
		j.done <- struct{}{}
	}
}

func (c *frameChecker) checkFrame(j *checkJob) {
	b := j.buffers
	b.stored, j.err = c.v.archive.ReadStored(b.stored[:0], j.offset, j.frame)
	if j.err == nil {
		b.content, j.err = c.decoder.Content(b.content[:0], b.stored, j.frame)
	}
	switch j.content = b.content; {
	case j.err != nil && !isDamage(j.err):
		c.cancel(j.err)
	case j.err != nil || j.skip:
	case len(j.entries) > 0:
		j.checkEntries(j.content)
	case !isZero(j.content[j.length:]):
		j.err = errPadding
	}
}

// tell tells of the frames in order, and hashes what is hashed in order.
func (c *frameChecker) tell() {
	for j := range c.order {
		<-j.done
		if c.ctx.Err() == nil {
			c.tellOf(j)
		}
		if j.isHuge() {
			j.buffers.stored, j.buffers.content = nil, nil
			<-c.huge
		}
		c.free <- j.buffers
	}
}

func (c *frameChecker) tellOf(j *checkJob) {
	if j.told != nil {
		c.v.problem(*j.told)
		return
	}
	if j.err != nil {
		c.v.problem(Problem{Offset: j.offset, Length: j.frame.Stored, Err: j.err.Error(), Paths: j.paths()})
	}
	for _, p := range j.wrong {
		c.v.problem(p)
	}
	if j.big != nil {
		c.hash(j)
	}
	if c.v.options.Progress != nil {
		c.v.options.Progress(j.offset + j.frame.Stored)
	}
}

// paths are the entries that a damaged frame concerns.
func (j *checkJob) paths() []string {
	var list []string
	for i := range j.entries {
		list = append(list, j.entries[i].Path)
	}
	if len(list) == 0 && j.big != nil {
		list = append(list, j.big.entry.Path)
	}
	return list
}

// hash hashes what a frame has of a file in several frames, and compares when the file ends.
func (c *frameChecker) hash(j *checkJob) {
	b := j.big
	switch {
	case j.err != nil || j.skip:
		b.failed = true
	case len(j.entries) > 0:
		b.hash.Write(j.begun)
	default:
		b.hash.Write(j.content[:j.length])
	}
	if j.last && !b.failed && !bytes.Equal(b.hash.Sum(nil), b.entry.SHA256[:]) {
		c.v.problem(Problem{
			Offset: j.offset, Length: j.frame.Stored, Err: errContent.Error(), Paths: []string{b.entry.Path},
		})
	}
}
