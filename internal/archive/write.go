// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"appliance.io/backup-operator/internal/archive/index"
	"golang.org/x/sys/unix"
)

// Write archives the sources into f, which must be empty, and open for reading too if there are Options.Checksums. It never
// closes, renames or flushes f: that is the caller's.
//
// Trouble with single files is reported through opts.Warn and never ends the archive. Nor does trouble with
// opts.Previous: if that turns out not to be what it seemed, the archive is made again without it, or without what can't be
// relied on. Warnings are told once more then, and one says why. An error means that f holds no archive: bad settings
// (ErrInvalidSource, ErrInvalidExclude, ErrInvalidLevel, all before anything is written), f can't be written (errors.Is
// finds unix.ENOSPC and its like), or ctx is done (errors.Is finds its cause).
func Write(ctx context.Context, f *os.File, sources []Source, opts Options) (Result, error) {
	if err := opts.complete(); err != nil {
		return Result{}, err
	}
	distrusted := map[string]bool{}
	result, err := attempt(ctx, f, sources, &opts, distrusted, nil)
	for tries := 1; opts.giveUp(err, distrusted, tries); tries++ {
		if err := f.Truncate(0); err != nil {
			return Result{}, fmt.Errorf("write archive: %w", err)
		}
		result, err = attempt(ctx, f, sources, &opts, distrusted, err)
	}
	if err != nil {
		return Result{}, err
	}
	return result, nil
}

// maxDistrusted is for how many files, one after the other, the archive is made again. Then the previous one isn't used
// any more.
const maxDistrusted = 8

// giveUp tells whether an attempt ended because of the previous archive. What failed of that isn't used in the next one.
func (o *Options) giveUp(err error, distrusted map[string]bool, tries int) bool {
	var file *distrustedError
	switch {
	case errors.As(err, &file) && tries <= maxDistrusted:
		distrusted[file.path] = true
	case file != nil, errors.Is(err, errPrevious):
		o.Previous = nil
	default:
		return false
	}
	return true
}

// complete checks the options and fills in what is left to defaults.
func (o *Options) complete() error {
	if o.Concurrency <= 0 {
		o.Concurrency = runtime.GOMAXPROCS(0)
	}
	o.Concurrency = min(o.Concurrency, openFilesAllow())
	if o.Level == 0 {
		o.Level = DefaultLevel
	}
	if o.Level < 1 || o.Level > maxLevel {
		return invalidLevel(o.Level)
	}
	if o.VerifyRuns <= 0 {
		o.VerifyRuns = DefaultVerifyRuns
	}
	o.VerifyRuns = min(o.VerifyRuns, maxVerifyRuns)
	if o.Previous != nil {
		o.previousName = filepath.Base(o.Previous.Name())
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.flush == nil {
		o.flush = unix.Syncfs
	}
	if tell := o.Progress; tell != nil {
		// An archive that is made again has come as far as the attempt before it only when it has.
		furthest := Progress{}
		o.Progress = func(p Progress) {
			p.Files, p.BytesRead = max(p.Files, furthest.Files), max(p.BytesRead, furthest.BytesRead)
			p.BytesWritten = max(p.BytesWritten, furthest.BytesWritten)
			furthest = p
			tell(p)
		}
	}
	return nil
}

// openFilesAllow is the number of groups that may keep their directories open at the same time.
func openFilesAllow() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1
	}
	// Two frames per worker are on their way, and some more; and what the walk found ahead of them.
	return max(1, (int(min(limit.Cur, 1<<20))-aheadBatch*aheadBatches)/(3*groupDirectories)-1)
}

func newSummary(sources []Source) *Summary {
	s := &Summary{Complete: true}
	for _, source := range sources {
		s.Sources = append(s.Sources, SourceSummary{Name: source.Name})
	}
	return s
}

// attempt makes the archive. failed is why an attempt before this one, with the previous archive, came to nothing, and
// distrusted are the paths that aren't to be taken over from it.
func attempt(
	ctx context.Context, f *os.File, sources []Source, opts *Options, distrusted map[string]bool, failed error,
) (Result, error) {
	trees, err := openSources(sources, opts.Destinations, newVolumes(opts.now, opts.flush))
	if err != nil {
		return Result{}, err
	}
	defer closeTrees(trees)
	w := &writer{
		out: &output{file: f}, old: openPrevious(opts.Previous, opts.Level), summary: newSummary(sources), options: opts,
	}
	defer w.old.close()
	if w.old != nil {
		w.old.distrusted = distrusted
	}
	if failed != nil {
		noteFailure(failed, w.summary, opts.Warn)
	}
	if err := w.archive(ctx, sources, trees); err != nil {
		return Result{}, err
	}
	if err := w.out.settle(); err != nil {
		return Result{}, err
	}
	return Result{Summary: *w.summary, Reuse: w.reuse, Size: w.out.size}, nil
}

// writer holds the parts of one attempt.
type writer struct {
	out     *output
	old     *previous
	reuse   Reuse
	summary *Summary
	options *Options
}

// archive writes head, frames, index and summary, and the list of checksums.
func (w *writer) archive(ctx context.Context, sources []Source, trees []*tree) error {
	self, err := fstat(int(w.out.file.Fd()))
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	if err := w.begin(); err != nil {
		return err
	}
	p, err := newPipeline(ctx, w.out, w.old, w.summary, &w.reuse, w.options)
	if err != nil {
		return err
	}
	p.seek.skip(w.out.size)
	if err := p.wait(walkAll(p, trees, w.old, self.id)); err != nil {
		return err
	}
	for i, t := range trees {
		part := &w.summary.Sources[i]
		part.OwnFileSystem, part.FileSystems = isOwnFileSystem(t.root.fd), t.inside.list()
	}
	noteEmptied(sources, p.unreadable, w.summary, w.options.Warn)
	if w.summary.Warnings.Damaged > 0 {
		w.summary.DamagedPrevious = w.options.previousName
	}
	if err := w.end(p); err != nil {
		return err
	}
	if err := w.old.check(); err != nil {
		return err
	}
	w.reuse.SharedBytes = w.out.shared
	return p.indexer.list.write(ctx, w.out, p.indexer.refs)
}

// begin writes the head, and finds out how frames can be taken over.
func (w *writer) begin() error {
	header := w.options.Header
	header.Format, header.Level = Format, w.options.Level
	header.CreatedAt = header.CreatedAt.UTC()
	head, err := appendHead(nil, header)
	if err != nil {
		return fmt.Errorf("write header: %w", err)
	}
	if err := w.out.write(head); err != nil || w.old == nil {
		return err
	}
	w.out.from = w.old.file
	w.out.method, err = findMethod(w.out.file, w.old.file, w.out.size)
	w.reuse.Previous, w.reuse.Method = w.old.name(), w.out.method
	return err
}

// end writes what comes after the frames: the rest of the index, its directory, the summary and the seek table.
func (w *writer) end(p *pipeline) error {
	p.indexer.finish()
	if err := p.putRecords(1); err != nil {
		return err
	}
	if p.indexer.err != nil {
		return p.indexer.err
	}
	start := w.out.size
	directory := index.AppendDirectory(nil, p.indexer.refs)
	end, err := appendCompressed(nil, p.indexer.encoder, kindDirectory, directory)
	if err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	where := place{Offset: start, Length: int64(len(end))}
	w.summary.BytesWritten = start + where.Length
	end, err = appendSummary(end, w.summary, &where, w.summary.BytesWritten)
	if err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	p.seek.skip(int64(len(end)))
	return w.out.write(p.seek.appendTo(end))
}

// walkAll submits everything that is in the tar stream.
func walkAll(p *pipeline, trees []*tree, old *previous, self fileID) error {
	for i, t := range trees {
		g := &grouper{source: i, output: self, acquire: p.acquire, submit: p.submit}
		g.old = old.cursorOf(t.name, func(err error) {
			kind, err := old.trouble(err)
			g.note(t.name, kind, err)
		})
		err := t.walkAhead(p.ctx, g)
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
	f.source, f.end = len(trees)-1, true
	p.submit(f)
	return nil
}
