// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Write archives the sources into f, from f's current position (0 in an empty file) on. It never closes, renames or
// flushes f: that is the caller's.
//
// Trouble with single files is reported through opts.Warn and never ends the archive. An error means that f holds no
// archive: bad settings (ErrInvalidSource, ErrInvalidExclude, both before anything is written), f can't be written
// (errors.Is finds unix.ENOSPC and its like), or ctx is done (errors.Is finds its cause).
func Write(ctx context.Context, f *os.File, sources []Source, opts Options) (Result, error) {
	if opts.Concurrency <= 0 {
		opts.Concurrency = runtime.GOMAXPROCS(0)
	}
	opts.Concurrency = min(opts.Concurrency, openFilesAllow())
	trees, err := openSources(sources, opts.Destinations)
	if err != nil {
		return Result{}, err
	}
	defer closeTrees(trees)

	w := &writer{out: newOutput(f), summary: newSummary(sources), options: &opts}
	if err := w.archive(ctx, sources, trees); err != nil {
		return Result{}, err
	}
	result := Result{Summary: *w.summary, Size: w.out.size}
	w.out.sum.Sum(result.SHA256[:0])
	return result, nil
}

// openFilesAllow is the number of groups that may keep their directories open at the same time.
func openFilesAllow() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1
	}
	// Two frames per worker are on their way, and some more.
	return max(1, int(min(limit.Cur, 1<<20))/(3*groupDirectories)-1)
}

func newSummary(sources []Source) *Summary {
	s := &Summary{Complete: true}
	for _, source := range sources {
		s.Sources = append(s.Sources, SourceSummary{Name: source.Name})
	}
	return s
}

// writer holds the parts of one run of Write.
type writer struct {
	out     *output
	summary *Summary
	options *Options
}

// archive writes head, frames and summary.
func (w *writer) archive(ctx context.Context, sources []Source, trees []*tree) error {
	self, err := fstat(int(w.out.file.Fd()))
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	header := w.options.Header
	header.Format = Format
	header.CreatedAt = header.CreatedAt.UTC()
	head, err := appendHead(nil, header)
	if err != nil {
		return fmt.Errorf("write header: %w", err)
	}
	p, err := newPipeline(ctx, w.out, w.summary, w.options)
	if err != nil {
		return err
	}
	// Nothing is on its way yet, so the head comes first.
	if err = w.out.writeAndSum(head); err == nil {
		err = walkAll(p, trees, self.id)
	}
	if err = p.wait(err); err != nil {
		return err
	}
	noteEmptied(sources, p.unreadable, w.summary, w.options.Warn)
	w.summary.BytesWritten = w.out.size
	end, err := appendSummary(nil, w.summary, nil, w.out.size)
	if err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	return w.out.writeAndSum(end)
}

// walkAll submits everything that is in the tar stream.
func walkAll(p *pipeline, trees []*tree, self fileID) error {
	for i, t := range trees {
		g := &grouper{source: i, output: self, acquire: p.acquire, submit: p.submit}
		err := t.walk(p.ctx, g)
		g.flush()
		if err == nil {
			err = g.err
		}
		if err != nil {
			return err
		}
	}
	// Two blocks of zeros end a tar stream.
	f, err := p.acquire()
	if err != nil {
		return err
	}
	f.source = len(trees) - 1
	f.in = append(f.in, zeros[:2*blockSize]...)
	p.submit(f)
	return nil
}
