// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// excluder decides which names of one source are left out.
type excluder struct {
	names []rule // matched against the base name
	paths []rule // matched against the path relative to the source's root
}

// rule is one exclude pattern, made ready.
type rule struct {
	pattern   string
	literal   bool // no special characters: comparing is enough
	directory bool // matches directories only
}

// newExcluder checks the patterns and makes them ready.
func newExcluder(source string, patterns []string) (*excluder, error) {
	x := &excluder{}
	for _, p := range patterns {
		if err := x.add(p); err != nil {
			return nil, fmt.Errorf("source %q: %w %q: %w", source, ErrInvalidExclude, p, err)
		}
	}
	return x, nil
}

func (x *excluder) add(pattern string) error {
	p, directory := strings.CutSuffix(pattern, "/")
	p, anchored := strings.CutPrefix(p, "/")
	switch {
	case p == "":
		return fmt.Errorf("it is empty; leave it out, or name what it should match")
	case slices.ContainsFunc(strings.Split(p, "/"), isDots):
		return fmt.Errorf("empty, \".\" and \"..\" path elements never match; write it relative to the source's root")
	case !doublestar.ValidatePattern(p):
		return fmt.Errorf("the syntax is wrong; look for an unclosed [, { or a final backslash")
	}
	// "dir/**" means what is in the directory. The directory itself stays, so that a restore has it.
	if strings.HasSuffix(p, "/**") {
		p += "/*"
	}
	r := rule{pattern: p, literal: !strings.ContainsAny(p, `*?[{\`), directory: directory}
	if anchored || strings.Contains(p, "/") {
		x.paths = append(x.paths, r)
	} else {
		x.names = append(x.names, r)
	}
	return nil
}

func isDots(element string) bool {
	return element == "" || element == "." || element == ".."
}

// match tells whether the file at rel, relative to the source's root, is left out.
func (x *excluder) match(rel, base string, directory bool) bool {
	hit := func(r rule, s string) bool {
		switch {
		case r.directory && !directory:
			return false
		case r.literal:
			return r.pattern == s
		default:
			return doublestar.MatchUnvalidated(r.pattern, s)
		}
	}
	return slices.ContainsFunc(x.names, func(r rule) bool { return hit(r, base) }) ||
		slices.ContainsFunc(x.paths, func(r rule) bool { return hit(r, rel) })
}
