// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package restore brings back what is in an archive, all of it or what is asked for.
//
// The way of the data, one file of this package per step:
//
//	plan (the index, block by block: what is wanted, and which frames hold it; makes directories)
//	  →  worker (reads, checks and decompresses a frame; writes the files in it; in parallel)
//	  →  sink (in order: links, hashes of files in several frames, counts)
//
// A frame goes round in that circle, and their fixed number bounds memory. What isn't asked for is neither read nor
// decompressed.
//
// Nothing is half under its name: a file is written under a hidden one in its directory, checked against its hash, given
// its metadata and then renamed. So a restore that was interrupted is run again: what stands already is kept, what was
// left is removed. Nothing that differs is overwritten unless that is asked for.
//
// Archives may come from a stranger. Every name is one path element that is looked up below an open directory without
// following links, so nothing is written, linked or changed outside the targets, whatever an archive says; entries that
// say such things are lost. So is what is in a damaged frame. All the rest is restored, and what is lost is named.
package restore

import (
	"context"
	"errors"
	"maps"
	"slices"

	"appliance.io/backup-operator/internal/archive"
)

var (
	// ErrInvalidTarget means that the targets can't be used as they are given. The error's text names the fix.
	ErrInvalidTarget = errors.New("invalid target")
	// ErrInvalidPattern means that a pattern is malformed. The error's text names it.
	ErrInvalidPattern = errors.New("invalid pattern")
	// ErrNoMatch means that nothing in the archive is what was asked for.
	ErrNoMatch = errors.New("nothing in the backup matches")
	// ErrConflict means that files stand in a target that differ from those in the archive. Nothing was written.
	ErrConflict = errors.New("files in the target differ from those in the backup")
	// ErrMalformed means that an archive isn't one that this program writes, although its bytes are those that were
	// written: somebody made it, or it is a mistake in a program. An entry that is malformed costs that entry; the error
	// is returned where the index as a whole makes no sense.
	ErrMalformed = errors.New("the archive is malformed")
	// ErrBusy means that another restore has a target.
	ErrBusy = errors.New("another restore is writing to the target")
)

// Options are the settings of Run.
type Options struct {
	// Targets are directories by the sources whose files they get. Sources that aren't named aren't restored. A
	// directory is made if need be, with all above it.
	Targets map[string]string
	// Target is the directory in which each source gets a directory of its name. Give it or Targets.
	Target string
	// Include are patterns of what is restored; none is everything. Exclude are patterns of what isn't, even if it is
	// included. Selection tells what they match.
	Include, Exclude []string
	// Overwrite puts what is in the archive in the place of files that differ. Files that the archive doesn't have are
	// left alone in any case.
	Overwrite bool
	// OverwriteWithFlawed is Overwrite also with files that are known to be broken: a part of them could not be read when
	// the archive was made. Without it these never take the place of anything.
	OverwriteWithFlawed bool
	// Concurrency is the number of frames that are worked on at the same time; at least 1.
	Concurrency int
	// Progress, when set, is called often, never concurrently. It must return quickly.
	Progress func(Progress)
	// Warn, when set, is called for every warning, never concurrently. It must return quickly.
	Warn func(Warning)
}

// Progress is how far Run has come. All numbers grow only.
type Progress struct {
	// Files is the number of regular files done, also those that were kept.
	Files int64
	// Bytes is the number of bytes of content done.
	Bytes int64
}

// Kind says what was noticed about an entry.
type Kind string

const (
	// Lost: the archive is damaged where the entry is, so it isn't restored.
	Lost Kind = "Lost"
	// Differs: something else stood under its name, which was left alone.
	Differs Kind = "Differs"
	// Failed: the target's file system refuses it: its name or size, a device node without the privilege to make one.
	Failed Kind = "Failed"
	// Flawed: it is restored as it is in the archive, but a part of it could not be read when the archive was made.
	Flawed Kind = "Incomplete"
	// Partial: it is restored, but attributes of it couldn't be set, or are lost.
	Partial Kind = "Partial"
	// Damaged: the archive is damaged where it says what is in it, so that what is in it was found by reading its frames.
	Damaged Kind = "Damaged"
)

// Warning is something noticed about one entry that did not stop the restore.
type Warning struct {
	// Path is the entry's in the archive. It may not be valid UTF-8.
	Path string
	// Kind is what was noticed.
	Kind Kind
	// Err is the details for people.
	Err string
}

// Result is what Run did.
type Result struct {
	// Files, Directories, Symlinks, HardLinks and Specials are the numbers of entries that are restored now.
	Files, Directories, Symlinks, HardLinks, Specials int64
	// Kept is the number of Files that stood already as they should be.
	Kept int64
	// Bytes is the size of the content of the Files, without holes.
	Bytes int64
	// Lost, Differing, Failed, Partial and Flawed count the warnings.
	Lost, Differing, Failed, Partial, Flawed int64
	// Mixed is the number of entries that were written to while they were archived, and may be a mixture of two states. That
	// is no warning.
	Mixed int64
	// OnlyFiles says that single files were asked for, by their paths, and nothing that could lack something else.
	OnlyFiles bool
	// Unowned is the number of entries whose owner couldn't be set, because that takes root. That is no warning.
	Unowned int64
	// Refused counts, by name, the extended attributes in security., trusted. and system. that the target doesn't take. They
	// belong to the system that the files were on: that is no warning.
	Refused map[string]int64
	// Damaged means that the archive's own account of what is in it can't be relied on, wholly or in part.
	Damaged bool
	// Unmatched are the patterns to include that matched nothing.
	Unmatched []string
}

// Complete tells whether everything that was asked for is restored.
func (r *Result) Complete() bool {
	return !r.Damaged && r.Lost == 0 && r.Differing == 0 && r.Failed == 0 && r.Partial == 0 && r.Flawed == 0 &&
		len(r.Unmatched) == 0
}

// Run restores from an archive. When it returns without an error, what it wrote is flushed to the disks.
//
// Errors are those of this package, what the file systems answered, or the cause of ctx being done. Before errors of the
// settings and ErrConflict, nothing was written.
func Run(ctx context.Context, a *archive.Archive, opts Options) (Result, error) {
	l, err := newLookup(a)
	if err != nil {
		return Result{}, err
	}
	sel, err := newSelection(opts.Include, opts.Exclude)
	if err != nil {
		return Result{}, err
	}
	if err := sel.requireLiterals(l); err != nil {
		return Result{}, err
	}
	roots, err := openRoots(l, &opts)
	if err != nil {
		return Result{}, err
	}
	defer roots.close()
	if err := sel.requireTargets(l, roots); err != nil {
		return Result{}, err
	}
	names := newTemporaryNames()
	cs := &clocks{measured: map[uint64]clock{}, name: names.next}
	if !opts.Overwrite {
		if err := roots.check(ctx, l, sel, cs); err != nil {
			return Result{}, err
		}
	}
	r := &restorer{
		archive: a, lookup: l, roots: roots, options: &opts, names: names, clocks: cs, foldings: map[foldingKey]folding{},
		ledger: ledger{warn: opts.Warn, missing: map[string]bool{}, flawed: map[string]bool{}},
	}
	if err := r.run(ctx, sel); err != nil {
		return r.ledger.result, err
	}
	r.ledger.result.Unmatched, r.ledger.result.OnlyFiles = sel.unmatched(), sel.onlyFiles()
	return r.ledger.result, r.flush()
}

// run restores what is selected, and then, anew, the files that turned out to differ.
func (r *restorer) run(ctx context.Context, sel *selection) error {
	r.again = map[string]bool{}
	if err := r.pass(ctx, sel); err != nil || len(r.again) == 0 {
		return err
	}
	sel = selectPaths(slices.Sorted(maps.Keys(r.again)))
	r.again, r.anew = nil, true
	return r.pass(ctx, sel)
}
