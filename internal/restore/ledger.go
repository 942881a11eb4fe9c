// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"sync"

	"appliance.io/backup-operator/internal/archive/index"
)

// ledger counts what was done and tells of what wasn't.
type ledger struct {
	mutex  sync.Mutex
	result Result
	warn   func(Warning)
	// missing are the paths under which nothing is, or something else than in the archive. No link must go there.
	missing map[string]bool
	// flawed are the regular files that are restored of which a part is missing in the archive.
	flawed map[string]bool

	// touched are the entries that something was done to, unless there are many.
	touched []string
	many    bool
}

// touch remembers that something was done to an entry.
func (l *ledger) touch(path string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.many = l.many || len(l.touched) == maxSingly; l.many {
		l.touched = nil
		return
	}
	l.touched = append(l.touched, path)
}

// note tells of an entry that isn't restored as it should be.
func (l *ledger) note(path string, kind Kind, err error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	switch kind {
	case Lost:
		l.result.Lost++
	case Differs:
		l.result.Differing++
	case Failed:
		l.result.Failed++
	case Partial:
		l.result.Partial++
	case Flawed:
		l.result.Flawed++
		l.flawed[path] = true
	case Damaged:
		l.result.Damaged = true
	}
	if kind != Partial && kind != Flawed && kind != Damaged {
		l.missing[path] = true
	}
	if l.warn != nil {
		l.warn(Warning{Path: path, Kind: kind, Err: err.Error()})
	}
}

// misses tells whether an entry was noted as not restored.
func (l *ledger) misses(path string) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.missing[path]
}

// isFlawed reports whether an entry was noted as flawed.
func (l *ledger) isFlawed(path string) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.flawed[path]
}

// lose counts an entry that is lost and of which nothing is known.
func (l *ledger) lose() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.result.Lost++
}

// count counts an entry that is restored.
func (l *ledger) count(e *index.Entry, kept bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	r := &l.result
	if e.Is(index.Mixed) {
		r.Mixed++
	}
	switch e.Type {
	case index.Regular:
		r.Files++
		r.Bytes += e.Data
		if kept {
			r.Kept++
		}
	case index.Directory:
		r.Directories++
	case index.Symlink:
		r.Symlinks++
	case index.HardLink:
		r.HardLinks++
	default:
		r.Specials++
	}
}

// unowned counts an entry whose owner couldn't be set.
func (l *ledger) unowned() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.result.Unowned++
}

// maxRefused is how many names of attributes are counted one by one.
const maxRefused = 10

// OtherAttributes stands in Result.Refused for all attributes beyond the first few names.
const OtherAttributes = "others"

// refuse counts an attribute that the target doesn't take.
func (l *ledger) refuse(name string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.result.Refused == nil {
		l.result.Refused = map[string]int64{}
	}
	if _, seen := l.result.Refused[name]; !seen && len(l.result.Refused) >= maxRefused {
		name = OtherAttributes
	}
	l.result.Refused[name]++
}

// progress is how far it is.
func (l *ledger) progress() Progress {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return Progress{Files: l.result.Files, Bytes: l.result.Bytes}
}
