// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package holders

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// store holds the records of one namespace's pods, or of all, and finds them by claim. A Reflector fills it.
type store struct {
	// changed is called, after the change, with the claims that a change of the holders concerns. It isn't called for
	// what is there at first.
	changed func(claims []types.NamespacedName)
	// filled is closed when the store has been filled for the first time.
	filled chan struct{}
	once   sync.Once

	mu      sync.RWMutex
	pods    map[types.NamespacedName]*record
	holders map[types.NamespacedName][]*record
}

func newStore(changed func([]types.NamespacedName)) *store {
	return &store{
		changed: changed, filled: make(chan struct{}),
		pods: map[types.NamespacedName]*record{}, holders: map[types.NamespacedName][]*record{},
	}
}

// of are the pods that hold the claim, oldest first.
func (s *store) of(claim types.NamespacedName) []Pod {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var pods []Pod
	for _, r := range s.holders[claim] {
		pods = append(pods, r.pod())
	}
	slices.SortFunc(pods, func(a, b Pod) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.Name, b.Name))
	})
	return pods
}

func (s *store) isFilled() bool {
	select {
	case <-s.filled:
		return true
	default:
		return false
	}
}

// Add implements cache.ReflectorStore.
func (s *store) Add(object any) error { return s.Update(object) }

// Update implements cache.ReflectorStore.
func (s *store) Update(object any) error {
	e, err := asEntry(object)
	if err != nil {
		return err
	}
	s.put(e.key(), e.record)
	return nil
}

// Delete implements cache.ReflectorStore.
func (s *store) Delete(object any) error {
	e, err := asEntry(object)
	if err != nil {
		return err
	}
	s.put(e.key(), nil)
	return nil
}

// Replace implements cache.ReflectorStore.
func (s *store) Replace(objects []any, _ string) error {
	now := make(map[types.NamespacedName]*record, len(objects))
	for _, object := range objects {
		e, err := asEntry(object)
		if err != nil {
			return err
		}
		now[e.key()] = e.record
	}
	s.mu.Lock()
	var concerned []types.NamespacedName
	for key := range s.pods {
		if now[key] == nil {
			concerned = append(concerned, s.set(key, nil)...)
		}
	}
	for key, r := range now {
		concerned = append(concerned, s.set(key, r)...)
	}
	s.mu.Unlock()

	first := false
	s.once.Do(func() { first = true })
	if first {
		close(s.filled)
	} else {
		s.tell(concerned)
	}
	return nil
}

// Resync implements cache.ReflectorStore. There is nothing to do.
func (s *store) Resync() error { return nil }

// put sets the record of a pod, nil for none, and tells.
func (s *store) put(key types.NamespacedName, r *record) {
	s.mu.Lock()
	concerned := s.set(key, r)
	s.mu.Unlock()
	s.tell(concerned)
}

// set sets the record of a pod, nil for none. It returns the claims that this concerns: none when nothing changed.
func (s *store) set(key types.NamespacedName, r *record) []types.NamespacedName {
	before := s.pods[key]
	if before == r || before != nil && r != nil && reflect.DeepEqual(before, r) {
		return nil
	}
	var concerned []types.NamespacedName
	if before != nil {
		delete(s.pods, key)
		for _, claim := range before.claims {
			concerned = append(concerned, s.release(types.NamespacedName{Namespace: key.Namespace, Name: claim}, before))
		}
	}
	if r != nil {
		s.pods[key] = r
		for _, name := range r.claims {
			claim := types.NamespacedName{Namespace: key.Namespace, Name: name}
			s.holders[claim] = append(s.holders[claim], r)
			concerned = append(concerned, claim)
		}
	}
	return concerned
}

func (s *store) release(claim types.NamespacedName, r *record) types.NamespacedName {
	left := slices.DeleteFunc(s.holders[claim], func(other *record) bool { return other == r })
	if len(left) == 0 {
		delete(s.holders, claim)
	} else {
		s.holders[claim] = left
	}
	return claim
}

// tell calls changed, with each claim once.
func (s *store) tell(claims []types.NamespacedName) {
	if len(claims) == 0 {
		return
	}
	slices.SortFunc(claims, func(a, b types.NamespacedName) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	s.changed(slices.Compact(claims))
}

func asEntry(object any) (*entry, error) {
	e, ok := object.(*entry)
	if !ok {
		return nil, fmt.Errorf("a %T where a pod's record was expected", object)
	}
	return e, nil
}
