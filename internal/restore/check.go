// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/archive/index"
	"golang.org/x/sys/unix"
)

// ConflictError is ErrConflict with what differs.
type ConflictError struct {
	// Paths are the first of the entries under whose names something else stands, by their paths in the archive.
	Paths []string
	// Count is how many there are.
	Count int
}

// maxConflicts is how many are named.
const maxConflicts = 10

func (e *ConflictError) Error() string {
	more := ""
	if n := e.Count - len(e.Paths); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("%v: %q%s", ErrConflict, e.Paths, more)
}

func (e *ConflictError) Unwrap() error { return ErrConflict }

// check looks for what stands in the targets and differs from what would be restored, as far as one sees without reading
// files. It writes nothing.
func (rs roots) check(ctx context.Context, l *lookup, sel *selection, cs *clocks) error {
	if rs.empty() {
		return nil
	}
	c := checker{roots: rs, clocks: cs}
	defer c.pop(0)
	// Patterns are asked again when the restore begins, and what is damaged or malformed isn't restored.
	err := l.each(ctx, sel, func(e *index.Entry) error { return c.entry(e) })
	if err != nil && !errors.Is(err, archive.ErrDamaged) && !errors.Is(err, ErrMalformed) {
		return err
	}
	if c.found.Count > 0 {
		return &c.found
	}
	return nil
}

// checker goes along the entries as they come, with the directories that they are in.
type checker struct {
	roots  roots
	clocks *clocks
	stack  []step
	found  ConflictError
}

// step is a directory on the way: fd is -1 where there is none in the target.
type step struct {
	path  string
	fd    int
	names map[string]bool // what is in it, once that matters
}

func (c *checker) pop(n int) {
	for len(c.stack) > n {
		last := len(c.stack) - 1
		if fd := c.stack[last].fd; fd >= 0 {
			_ = unix.Close(fd)
		}
		c.stack = c.stack[:last]
	}
}

// entry looks at what stands under an entry's name.
func (c *checker) entry(e *index.Entry) error {
	r := c.roots[index.SourceOf(e.Path)]
	if r == nil || r.file == nil || r.empty || parentPath(e.Path) == "" {
		return nil
	}
	dir, err := c.directory(parentPath(e.Path), r)
	if err != nil || dir < 0 {
		return err
	}
	st, err := statAt(dir, baseName(e.Path))
	switch {
	case errors.Is(err, unix.ENOENT), concernsOneFile(err):
		return nil // What can't be there, or be looked at, is told of when it is restored.
	case err != nil:
		return fmt.Errorf("look at %q in the target: %w", e.Path, err)
	case !c.mayBe(dir, &st, e):
		c.conflict(e.Path)
	}
	return nil
}

// mayBe tells whether what stands there may be the entry.
func (c *checker) mayBe(dir int, st *unix.Stat_t, e *index.Entry) bool {
	kind := st.Mode & unix.S_IFMT
	switch e.Type {
	case index.Regular:
		return c.clocks.looksLike(dir, st, e)
	case index.HardLink:
		return kind != unix.S_IFDIR && c.clocks.agree(dir, st, e.ModTime)
	case index.Symlink:
		target, err := readLinkAt(dir, baseName(e.Path), len(e.Link))
		return kind == unix.S_IFLNK && err == nil && target == e.Link
	default:
		return kind == kindOf(e.Type)
	}
}

// directory opens a directory by its path in the archive; -1 if there is none in the target.
func (c *checker) directory(path string, r *root) (int, error) {
	for n := len(c.stack); n > 0; n-- {
		if here := c.stack[n-1].path; path == here || strings.HasPrefix(path, here+"/") {
			break
		}
		c.pop(n - 1)
	}
	if n := len(c.stack); n > 0 && (c.stack[n-1].path == path || c.stack[n-1].fd < 0) {
		return c.stack[n-1].fd, nil
	}
	above, name := r.fd(), "."
	if parent := parentPath(path); parent != "" {
		var err error
		if above, err = c.directory(parent, r); err != nil || above < 0 {
			return -1, err
		}
		name = baseName(path)
	}
	fd, err := openAt(above, name, unix.O_PATH|unix.O_DIRECTORY, 0)
	switch {
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		c.conflict(path)
	case err != nil && !errors.Is(err, unix.ENOENT) && !concernsOneFile(err):
		return -1, fmt.Errorf("look at %q in the target: %w", path, err)
	}
	fd = c.unlessOtherName(path, fd)
	c.stack = append(c.stack, step{path: path, fd: fd})
	return fd, nil
}

// holder is the directory that something is in, if it is the one on the top of the stack.
func (c *checker) holder(path string) *step {
	if n := len(c.stack); n > 0 && c.stack[n-1].path == parentPath(path) {
		return &c.stack[n-1]
	}
	return nil
}

// unlessOtherName is an open directory, or -1 if it is another one than that of the path.
func (c *checker) unlessOtherName(path string, fd int) int {
	if parent := c.holder(path); fd >= 0 && parent != nil && parent.hasOtherName(baseName(path)) {
		_ = unix.Close(fd)
		return -1
	}
	return fd
}

func (c *checker) conflict(path string) {
	if parent := c.holder(path); parent != nil && parent.hasOtherName(baseName(path)) {
		return
	}
	if n := len(c.found.Paths); n == 0 || n < maxConflicts && c.found.Paths[n-1] != path {
		c.found.Paths = append(c.found.Paths, path)
	} else if c.found.Paths[n-1] == path {
		return
	}
	c.found.Count++
}
