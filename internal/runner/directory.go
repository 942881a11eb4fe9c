// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"time"

	"appliance.io/backup-operator/internal/catalog"
)

// patience is how many times AnswerTimeout an answer may take from a directory that the run works in already.
const patience = 10

// directory is a directory of backups that a run works in, as long as it answers.
type directory struct {
	place
	// limit is AnswerTimeout.
	limit time.Duration
	// silent is why nobody looks at the directory any more; nil as long as it answers.
	silent error
}

// probe finds out whether the directory answers at all. It is called before anything else looks at it.
func (d *directory) probe() error {
	d.silent = catalog.Probe(d.path, d.limit)
	return d.silent
}

// look returns what do finds in the directory, or an error if that doesn't answer. In that case do may still run: it must
// only change what nobody else uses.
func look[T any](d *directory, do func() (T, error)) (T, error) {
	if d.silent != nil {
		var none T
		return none, d.silent
	}
	value, err := catalog.Within(d.path, patience*d.limit, do)
	d.note(err)
	return value, err
}

// note keeps everyone from looking at the directory any more if an error says that it doesn't answer.
func (d *directory) note(err error) {
	var silent *catalog.NoAnswerError
	if errors.As(err, &silent) {
		d.silent = silent
	}
}

// do is look without a result.
func (d *directory) do(do func() error) error {
	_, err := look(d, func() (struct{}, error) { return struct{}{}, do() })
	return err
}

// space is the space of the directory's file system.
func (d *directory) space() (catalog.Space, error) {
	return look(d, func() (catalog.Space, error) { return catalog.MeasureSpace(d.path) })
}
