// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import "sync/atomic"

// How far a walk may be ahead of its visitor. What it hands over keeps directories open.
const (
	aheadBatch   = 64
	aheadBatches = 3
)

// ahead lets a walk go on while its visitor is busy with what it found before: asking the kernel for files and comparing
// them with the previous archive take about the same time. It is the visitor that the walk sees.
type ahead struct {
	visitor visitor
	batch   []event
	full    chan []event
	free    chan []event
	done    chan struct{}
	err     atomic.Pointer[error] // why the visitor takes no more
}

// event is one thing that the walk tells: a file, a note or, without either, a name that is left out.
type event struct {
	file bool
	item item
	note WarningKind
	path string
	err  error
}

// newAhead starts a goroutine in which the visitor is told what the walk finds. The walk's end must be told by close.
func newAhead(v visitor) *ahead {
	a := &ahead{
		visitor: v, full: make(chan []event, aheadBatches), free: make(chan []event, aheadBatches), done: make(chan struct{}),
	}
	for range aheadBatches {
		a.free <- make([]event, 0, aheadBatch)
	}
	a.batch = <-a.free
	go a.run()
	return a
}

// file implements visitor. Only of a file that has, or may get, further names it must be known at once what becomes of it.
func (a *ahead) file(it item) (archived bool, err error) {
	if it.link == "" && !hasNames(&it) {
		return true, a.add(event{file: true, item: it})
	}
	a.wait()
	if err := a.failed(); err != nil {
		it.release()
		return false, err
	}
	return a.visitor.file(it)
}

// note implements visitor.
func (a *ahead) note(path string, kind WarningKind, err error) {
	_ = a.add(event{note: kind, path: path, err: err})
}

// excluded implements visitor.
func (a *ahead) excluded() { _ = a.add(event{}) }

func (a *ahead) add(e event) error {
	a.batch = append(a.batch, e)
	if len(a.batch) == aheadBatch {
		a.flush()
	}
	return a.failed()
}

func (a *ahead) flush() {
	a.full <- a.batch
	a.batch = <-a.free
}

// wait returns when the visitor has been told everything.
func (a *ahead) wait() {
	a.flush()
	// All other batches are free when none is on its way.
	for range aheadBatches - 1 {
		defer func(b []event) { a.free <- b }(<-a.free)
	}
}

// close ends the goroutine, and returns when the visitor has been told everything.
func (a *ahead) close() {
	a.full <- a.batch
	close(a.full)
	<-a.done
}

func (a *ahead) failed() error {
	if err := a.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (a *ahead) run() {
	defer close(a.done)
	for batch := range a.full {
		for i := range batch {
			a.tell(&batch[i])
		}
		clear(batch)
		a.free <- batch[:0]
	}
}

// tell passes one event on. The items are the visitor's to release, while there is one.
func (a *ahead) tell(e *event) {
	switch {
	case a.failed() != nil:
		e.item.release()
	case e.file:
		if _, err := a.visitor.file(e.item); err != nil {
			a.err.CompareAndSwap(nil, &err)
		}
	case e.note != "":
		a.visitor.note(e.path, e.note, e.err)
	default:
		a.visitor.excluded()
	}
}
