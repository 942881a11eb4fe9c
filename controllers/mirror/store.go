// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// store holds the records of one namespace's objects, or of all. A Reflector fills it.
type store[R any] struct {
	index func(*R) []string
	// changed is called, after the change, with what changed. It isn't called for what is there at first.
	changed func([]Change[R])
	// synced is closed when the store has been filled for the first time.
	synced chan struct{}

	mu      sync.RWMutex
	records map[key]*R
	// indexed are the names of the objects by the values that index gives their records.
	indexed map[key][]string
	// err is that of the last request for the objects; nil for none.
	err error
}

func newStore[R any](index func(*R) []string, changed func([]Change[R])) *store[R] {
	return &store[R]{
		index: index, changed: changed, synced: make(chan struct{}), records: map[key]*R{}, indexed: map[key][]string{},
	}
}

func (s *store[R]) get(k key) *R {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.records[k]
}

func (s *store[R]) byIndex(k key) []*R {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var records []*R
	for _, name := range s.indexed[k] {
		records = append(records, s.records[key{k.namespace, name}])
	}
	return records
}

func (s *store[R]) isSynced() bool {
	select {
	case <-s.synced:
		return true
	default:
		return false
	}
}

// heard takes the error of a request for the objects, nil for none.
func (s *store[R]) heard(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *store[R]) lastError() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.err
}

// Add implements cache.ReflectorStore.
func (s *store[R]) Add(object any) error { return s.Update(object) }

// Update implements cache.ReflectorStore.
func (s *store[R]) Update(object any) error {
	e, err := asEntry[R](object)
	if err != nil {
		return err
	}
	s.put(e.key, e.record)
	return nil
}

// Delete implements cache.ReflectorStore.
func (s *store[R]) Delete(object any) error {
	e, err := asEntry[R](object)
	if err != nil {
		return err
	}
	s.put(e.key, nil)
	return nil
}

// Replace implements cache.ReflectorStore.
func (s *store[R]) Replace(objects []any, _ string) error {
	s.mu.Lock()
	changes, err := s.replace(objects)
	s.mu.Unlock()
	switch {
	case err != nil:
		return err
	case s.isSynced():
		s.tell(changes)
	default:
		close(s.synced)
	}
	return nil
}

func (s *store[R]) replace(objects []any) ([]Change[R], error) {
	gone := make(map[key]bool, len(s.records))
	for k := range s.records {
		gone[k] = true
	}
	var changes []Change[R]
	for _, object := range objects {
		e, err := asEntry[R](object)
		if err != nil {
			return nil, err
		}
		delete(gone, e.key)
		if change, changed := s.set(e.key, e.record); changed && s.isSynced() {
			changes = append(changes, change)
		}
	}
	for k := range gone {
		change, _ := s.set(k, nil)
		changes = append(changes, change)
	}
	return changes, nil
}

// Resync implements cache.ReflectorStore. There is nothing to do.
func (s *store[R]) Resync() error { return nil }

// put sets the record of an object, nil for none, and tells.
func (s *store[R]) put(k key, record *R) {
	s.mu.Lock()
	change, changed := s.set(k, record)
	s.mu.Unlock()
	if changed {
		s.tell([]Change[R]{change})
	}
}

// set sets the record of an object, nil for none, and says whether that changed anything.
func (s *store[R]) set(k key, now *R) (Change[R], bool) {
	before := s.records[k]
	if reflect.DeepEqual(before, now) {
		return Change[R]{}, false
	}
	if before != nil {
		s.unindex(k, before)
		delete(s.records, k)
	}
	if now != nil {
		s.records[k] = now
		for _, value := range s.values(now) {
			at := key{k.namespace, value}
			s.indexed[at] = append(s.indexed[at], k.name)
		}
	}
	return Change[R]{Key: k.namespacedName(), Before: before, Now: now}, true
}

func (s *store[R]) unindex(k key, record *R) {
	for _, value := range s.values(record) {
		at := key{k.namespace, value}
		left := slices.DeleteFunc(s.indexed[at], func(other string) bool { return other == k.name })
		if len(left) == 0 {
			delete(s.indexed, at)
		} else {
			s.indexed[at] = left
		}
	}
}

// values are those under which a record is found, each once.
func (s *store[R]) values(record *R) []string {
	if s.index == nil {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(s.index(record))))
}

// tell calls changed, with the changes sorted by name.
func (s *store[R]) tell(changes []Change[R]) {
	slices.SortFunc(changes, func(a, b Change[R]) int {
		return cmp.Or(strings.Compare(a.Key.Namespace, b.Key.Namespace), strings.Compare(a.Key.Name, b.Key.Name))
	})
	s.changed(changes)
}

func asEntry[R any](object any) (*entry[R], error) {
	e, ok := object.(*entry[R])
	if !ok {
		return nil, fmt.Errorf("a %T where an object's record was expected", object)
	}
	return e, nil
}
