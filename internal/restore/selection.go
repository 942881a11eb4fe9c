// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"fmt"
	"slices"
	"strings"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
	"github.com/bmatcuk/doublestar/v4"
)

// selection decides which entries are wanted. Patterns are matched against whole paths, source/path, as `list --long`
// shows them:
//
//   - without any of *?[{\ it is one path, and finding it costs a binary search;
//   - ** spans directories; dir/** is what is in dir, without dir itself;
//   - special characters but no slash: it matches names at any depth, as *.pem;
//   - a slash at the end: it matches directories only;
//   - a directory that matches counts with everything below it.
type selection struct {
	include, exclude []*rule
	recent           verdict // of a directory, as what follows is probably in the same one
}

// rule is one pattern, made ready.
type rule struct {
	given     string
	pattern   string
	literal   bool
	anyDepth  bool   // matched against base names
	directory bool   // matches directories only
	file      bool   // it is one path, of something that isn't a directory
	base      string // the directory that all matches are in or below, or are; empty if that isn't known
	matched   bool
}

// verdict is what the patterns say of a path.
type verdict struct {
	path              string
	included, exclude bool
}

func newSelection(include, exclude []string) (*selection, error) {
	s := &selection{}
	for _, list := range []struct {
		patterns []string
		into     *[]*rule
	}{{include, &s.include}, {exclude, &s.exclude}} {
		for _, p := range list.patterns {
			r, err := newRule(p)
			if err != nil {
				return nil, fmt.Errorf("%w %q: %w", ErrInvalidPattern, p, err)
			}
			*list.into = append(*list.into, r)
		}
	}
	return s, nil
}

// selectPaths selects single entries, whatever characters are in their paths.
func selectPaths(paths []string) *selection {
	s := &selection{}
	for _, p := range paths {
		s.include = append(s.include, &rule{given: p, pattern: p, literal: true, base: p})
	}
	return s
}

func newRule(given string) (*rule, error) {
	p, directory := strings.CutSuffix(strings.TrimPrefix(given, "/"), "/")
	r := &rule{given: given, pattern: p, directory: directory, literal: !strings.ContainsAny(p, `*?[{\`)}
	if !tarstream.ValidPath(p) {
		return nil, fmt.Errorf("write it as SOURCE/PATH, without empty, \".\" and \"..\" path elements")
	}
	if r.literal {
		r.base = p
		return r, nil
	}
	if !doublestar.ValidatePattern(p) {
		return nil, fmt.Errorf("the syntax is wrong; look for an unclosed [, { or a final backslash")
	}
	r.anyDepth = !strings.Contains(p, "/") && p != "**"
	if strings.HasSuffix(p, "/**") {
		r.pattern += "/*"
	}
	// What comes before the first special character, up to a slash.
	if i := strings.LastIndexByte(p[:strings.IndexAny(p, `*?[{\`)], '/'); i > 0 {
		r.base = p[:i]
	}
	return r, nil
}

// hit tells whether the pattern matches.
func (r *rule) hit(path string, directory bool) bool {
	switch {
	case r.directory && !directory:
		return false
	case r.literal:
		return r.pattern == path
	case r.anyDepth:
		return doublestar.MatchUnvalidated(r.pattern, baseName(path))
	default:
		return doublestar.MatchUnvalidated(r.pattern, path)
	}
}

// wants tells whether an entry is selected.
func (s *selection) wants(path string, directory bool) bool {
	if len(s.include) == 0 && len(s.exclude) == 0 {
		return true
	}
	v := s.judge(path, directory)
	return v.included && !v.exclude
}

func (s *selection) judge(path string, directory bool) verdict {
	above := verdict{included: len(s.include) == 0}
	if parent := parentPath(path); parent != "" {
		if s.recent.path != parent {
			s.recent = s.judge(parent, true)
		}
		above = s.recent
	}
	v := verdict{path: path, included: above.included, exclude: above.exclude}
	for _, r := range s.include {
		// All are looked at, so that it is known which match nothing.
		if (!v.included || !r.matched) && r.hit(path, directory) {
			v.included, r.matched = true, true
		}
	}
	v.exclude = v.exclude || slices.ContainsFunc(s.exclude, func(r *rule) bool { return r.hit(path, directory) })
	return v
}

// mayHold tells whether a block may have entries that are wanted: its first path, and the first one of the block after
// it in the same source, empty if there is none.
func (s *selection) mayHold(first, next string) bool {
	if len(s.include) == 0 {
		return true
	}
	return slices.ContainsFunc(s.include, func(r *rule) bool {
		if r.base == "" {
			return true
		}
		if index.SourceOf(r.base) != index.SourceOf(first) {
			return false
		}
		before := next != "" && index.Compare(next, r.base) <= 0
		behind := index.Compare(first, r.base) > 0 && !strings.HasPrefix(first, r.base+"/")
		return !before && !behind
	})
}

// requireLiterals fails if a single path that is asked for isn't there.
func (s *selection) requireLiterals(l *lookup) error {
	for _, r := range s.include {
		if !r.literal {
			continue
		}
		where, err := l.find(r.pattern)
		if err != nil {
			return err
		}
		if where == nil && l.mayMiss() {
			return fmt.Errorf("%w: %q is not in what can be read of it", archive.ErrDamaged, r.given)
		}
		if where == nil || r.directory && where.entry.Type != index.Directory {
			hint := ""
			if !strings.Contains(r.pattern, "/") {
				hint = fmt.Sprintf("; to find it at any depth give '**/%s'", r.pattern)
			}
			return fmt.Errorf("%w %q%s", ErrNoMatch, r.given, hint)
		}
		r.matched, r.file = true, where.entry.Type != index.Directory
	}
	return nil
}

// onlyFiles reports whether nothing but single files is asked for, by their paths.
func (s *selection) onlyFiles() bool {
	return len(s.include) > 0 && !slices.ContainsFunc(s.include, func(r *rule) bool { return !r.file })
}

// requireTargets fails if what is asked for is in a source that isn't restored.
func (s *selection) requireTargets(l *lookup, rs roots) error {
	for _, r := range s.include {
		if source := index.SourceOf(r.base); rs[source] == nil && slices.Contains(l.sources, source) {
			return fmt.Errorf("%w: there is none for the source %q, in which %q is; give one", ErrInvalidTarget, source, r.given)
		}
	}
	return nil
}

// unmatched lists the patterns to include that nothing matched.
func (s *selection) unmatched() []string {
	var list []string
	for _, r := range s.include {
		if !r.matched {
			list = append(list, r.given)
		}
	}
	return list
}
