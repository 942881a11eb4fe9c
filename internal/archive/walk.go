// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// item is one file that the walk found.
type item struct {
	parent *directory // where name is; nil for a source's root
	self   *directory // the directory itself; nil for other files and for directories that can't be opened
	name   string     // in parent
	path   string     // in the archive: source/path, without a trailing slash
	link   string     // path of the file's first name in the archive, if this is a further one
	stat   stat
	volume *volume // that it is on; nil if that isn't known
}

// relative is an archive path's part below its source's root, "." for the root itself.
func relative(path string) string {
	if _, rel, ok := strings.Cut(path, "/"); ok {
		return rel
	}
	return "."
}

// release gives up the directories that the item holds.
func (it *item) release() {
	it.parent.release()
	it.self.release()
	it.parent, it.self = nil, nil
}

// visitor is told what the walk finds, in the order in which it is to be archived: each directory before what is in it,
// names in one directory sorted by bytes.
type visitor interface {
	// file takes an item over. It returns whether that very file is or will be in the archive under it.path, so that
	// further names can be links to it. An error ends the walk.
	file(it item) (archived bool, err error)
	// note is told of a file that isn't as it should be.
	note(path string, kind WarningKind, err error)
	// excluded is told of a name that is left out because of a pattern.
	excluded()
}

// tree is a source that has been checked and opened.
type tree struct {
	name         string
	volumes      *volumes
	root         *directory
	exclude      *excluder
	destinations destinations
	inside       fileSystems
}

// openSources checks all sources before anything is done with any. The caller closes the trees.
func openSources(sources []Source, written []OutputDirectory, vs *volumes) (trees []*tree, err error) {
	defer func() {
		if err != nil {
			closeTrees(trees)
			trees = nil
		}
	}()
	if len(sources) == 0 {
		return nil, fmt.Errorf("%w: there is none; give at least one", ErrInvalidSource)
	}
	names, leave := map[string]bool{}, newDestinations(written)
	for _, s := range sources {
		if s.Name == "" || s.Name == "." || s.Name == ".." || strings.ContainsAny(s.Name, "/\x00") {
			return trees, fmt.Errorf("%w %q: the name must be one path element", ErrInvalidSource, s.Name)
		}
		if names[s.Name] {
			return trees, fmt.Errorf("%w %q: the name is given twice; name each source differently", ErrInvalidSource, s.Name)
		}
		names[s.Name] = true
		exclude, err := newExcluder(s.Name, s.Exclude)
		if err != nil {
			return trees, err
		}
		fd, err := openAt(unix.AT_FDCWD, s.Path, unix.O_DIRECTORY)
		if err != nil {
			return trees, fmt.Errorf("%w %q: %w; give a directory that this user may read", ErrInvalidSource, s.Name,
				&fs.PathError{Op: "open", Path: s.Path, Err: err})
		}
		t := &tree{
			name: s.Name, volumes: vs, root: newDirectory(fd), exclude: exclude, destinations: leave,
			inside: fileSystems{known: s.FileSystems},
		}
		trees = append(trees, t)
		if err := leave.check(t); err != nil {
			return trees, err
		}
	}
	return trees, nil
}

func closeTrees(trees []*tree) {
	for _, t := range trees {
		t.root.release()
	}
}

// walker walks one tree.
type walker struct {
	ctx     context.Context
	tree    *tree
	visitor visitor
	buf     []byte               // for directory listings
	links   map[fileID]firstName // files with names yet to come
}

// walk visits everything in the tree. Memory follows the sizes of the directories on the path that it is on, and the
// number of files of which it has seen some names and not all.
func (t *tree) walk(ctx context.Context, v visitor) error {
	w := &walker{ctx: ctx, tree: t, visitor: v, buf: make([]byte, 64<<10), links: map[fileID]firstName{}}
	st, err := fstat(t.root.fd)
	if err != nil {
		return fmt.Errorf("source %q: %w", t.name, err)
	}
	root := item{self: t.root.use(), path: t.name, stat: st, volume: t.volumes.enter(t.root.fd, st.id.dev)}
	if _, err := v.file(root); err != nil {
		return err
	}
	t.inside.dev = st.id.dev
	return w.directory(t.root, t.name)
}

// walkAhead is walk with a visitor that is busy while the walk goes on.
func (t *tree) walkAhead(ctx context.Context, v visitor) error {
	a := newAhead(v)
	err := t.walk(ctx, a)
	a.close()
	if failed := a.failed(); failed != nil {
		return failed
	}
	return err
}

// directory visits what is in a directory whose path in the archive is given.
func (w *walker) directory(d *directory, path string) error {
	names, err := readNames(d.fd, w.buf)
	if err != nil {
		w.visitor.note(path, Unreadable, fmt.Errorf("list directory: %w", err))
	}
	for _, name := range names {
		if err := context.Cause(w.ctx); err != nil {
			return err
		}
		if err := w.entry(d, name, path+"/"+name, firstLook); err != nil {
			return err
		}
	}
	return nil
}

// look tells whether the walk comes by for the first time, or once more to a name under which there was something else
// a moment ago.
type look bool

const (
	firstLook  look = false
	secondLook look = true
)

// longestPath is how long a path in the archive may be, in bytes. No program can name a file by a longer one, and the index
// could not be read that is full of them.
const longestPath = 64 << 10

var errTooLong = fmt.Errorf("its path is longer than %d bytes", longestPath)

// entry visits one name in a directory, and what is below it.
func (w *walker) entry(parent *directory, name, path string, l look) error {
	if len(path) > longestPath {
		w.visitor.note(path, Unreadable, errTooLong)
		return nil
	}
	st, err := lstatAt(parent.fd, name)
	if err != nil {
		w.noteError(path, "stat", err)
		return nil
	}
	isDirectory := st.kind() == unix.S_IFDIR
	if w.tree.exclude.match(relative(path), name, isDirectory) {
		w.visitor.excluded()
		return nil
	}
	switch {
	case isDirectory:
		return w.subdirectory(parent, name, path, st, l)
	case st.kind() == unix.S_IFSOCK:
		w.visitor.note(path, Skipped, errSocket)
		return nil
	}
	w.tree.inside.count(&st)
	it := item{parent: parent.use(), name: name, path: path, stat: st, volume: w.tree.volumes.of(st.id.dev)}
	if st.nlink < 2 {
		_, err := w.visitor.file(it)
		return err
	}
	return w.linked(it)
}

// subdirectory visits a directory and what is in it.
func (w *walker) subdirectory(parent *directory, name, path string, st stat, l look) error {
	it := item{parent: parent.use(), name: name, path: path, stat: st, volume: w.tree.volumes.of(st.id.dev)}
	fd, err := openAt(parent.fd, name, unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err == nil {
		it.self = newDirectory(fd)
		// It may be another one than a moment ago.
		if st, err = fstat(fd); err == nil {
			it.stat = st
			it.volume = w.tree.volumes.enter(fd, st.id.dev)
		}
	}
	if path, ok := w.tree.destinations[it.stat.id]; ok {
		w.visitor.note(it.path, Destination, fmt.Errorf("it is %s, which this run writes to, and is left out", path))
		it.release()
		return nil
	}
	if replaced(err) && l == firstLook {
		it.release()
		return w.entry(parent, name, path, secondLook)
	}
	if err != nil {
		w.noteError(path, "open directory", err)
		if vanished(err) || replaced(err) {
			it.release()
			return nil
		}
		// What is in it is lost to this archive, but that there is such a directory isn't.
		_, err := w.visitor.file(it)
		return err
	}
	self := it.self.use()
	defer self.release()
	if _, err := w.visitor.file(it); err != nil {
		return err
	}
	defer w.tree.inside.enter(self.fd, relative(path), st.id.dev)()
	return w.directory(self, path)
}

// noteError notes that a file couldn't be used.
func (w *walker) noteError(path, op string, err error) {
	kind := Unreadable
	if vanished(err) {
		kind = Vanished
	}
	w.visitor.note(path, kind, fmt.Errorf("%s: %w", op, err))
}
