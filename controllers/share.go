// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"hash/maphash"
	"reflect"
	"sync"
)

const (
	// sharedStrings is how many strings are remembered to be shared, and sharedLength up to which length they are, in bytes.
	// Longer ones are seldom the same, and would take much to remember.
	sharedStrings = 4096
	sharedLength  = 256
)

// sharer makes objects smaller that are alike, as policies and what their conditions say mostly are: strings that are the
// same take memory once. It remembers a string until another one takes its place, so what it takes itself is bounded.
// (Package unique would forget a string as soon as nobody has its handle.)
type sharer struct {
	seed maphash.Seed

	mu   sync.Mutex
	seen [sharedStrings]string
}

func newSharer() *sharer { return &sharer{seed: maphash.MakeSeed()} }

// share has what v points to share its strings with what was shared before. Lists lose the room that they have to grow;
// maps are left as they are.
func (s *sharer) share(v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.walk(reflect.ValueOf(v))
}

func (s *sharer) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			s.walk(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Field(i); field.CanSet() { // What is unexported, as in a time, belongs to its package.
				s.walk(field)
			}
		}
	case reflect.Slice:
		if v.Cap() > v.Len() {
			exact := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(exact, v)
			v.Set(exact)
		}
		for i := range v.Len() {
			s.walk(v.Index(i))
		}
	case reflect.String:
		if v.Len() <= sharedLength {
			v.SetString(s.of(v.String()))
		}
	default: // There is no string in it, or it is left as it is.
	}
}

// of is a string that is the same, and if possible one that is there already.
func (s *sharer) of(text string) string {
	place := &s.seen[maphash.String(s.seed, text)%sharedStrings]
	if *place != text {
		*place = text
	}
	return *place
}
