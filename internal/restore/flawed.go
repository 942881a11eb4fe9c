// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"fmt"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/archive/index"
)

// What could not be read in full when the archive was made is in it all the same: content that is missing as zeros. It is
// better than nothing, and is restored where nothing is, but never in the place of what may be whole.

var (
	errFlawedContent = errors.New(
		"it could not be read in full when the backup was made: what is missing is zeros, or its attributes")
	errFlawed = errors.New("its attributes could not be read in full when the backup was made")
)

// done counts an entry that is restored, and names it if it is flawed.
func (r *restorer) done(path string, e *index.Entry, kept bool) {
	r.ledger.count(e, kept)
	switch {
	case !e.Is(index.Flawed):
	case e.Type == index.Regular || e.Type == index.HardLink:
		r.ledger.note(path, Flawed, errFlawedContent)
	default:
		r.ledger.note(path, Flawed, errFlawed)
	}
}

// mayOverwrite is nil if an entry may take the place of something else.
func (r *restorer) mayOverwrite(e *index.Entry) error {
	switch {
	case !r.options.Overwrite && !r.anew:
		return errDiffers
	case e.Is(index.Flawed) && !r.options.OverwriteWithFlawed:
		return fmt.Errorf("%w: the backup could not read all of this file when it was made", errDiffers)
	}
	return nil
}

// markLinks passes entries on to fn with the flaws of their first names, of which the entries of hard links say nothing.
func markLinks(a *archive.Archive, fn func(*index.Entry) error) (func(*index.Entry) error, error) {
	if a.Info().Summary.Complete {
		return fn, nil
	}
	firsts, err := newLookup(a)
	if err != nil {
		return nil, err
	}
	return func(e *index.Entry) error {
		if e.Type == index.HardLink {
			// A first name that can't be found is told of when its own entry comes.
			if first, err := firsts.find(e.Link); err == nil && first != nil {
				e.Flags |= first.entry.Flags & (index.Flawed | index.Mixed)
			}
		}
		return fn(e)
	}, nil
}
