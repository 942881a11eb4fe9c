// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

// A file with several names is archived under the first, and the others become links to that entry. Where the file is
// unchanged, the walk doesn't wait for the entry to be made: it is promised. If its group can't be taken over after all,
// the promise must be kept, or the names that follow must be told.

// relink makes an item a further name of the entry that holds its file, if the one that was promised doesn't.
func (g *grouper) relink(it *item) {
	for it.link != "" {
		first, ok := g.lost[it.link]
		if !ok {
			return
		}
		it.link = first
	}
}

// keepPromises makes the entries of files with several names, in a group that isn't taken over after all. Where there
// can't be one any more, the next name of the file becomes the first.
func (g *grouper) keepPromises() {
	f := g.current
	kept := f.members[:0]
	for _, m := range f.members {
		first := m.item.link
		g.relink(&m.item)
		if !m.promised() {
			kept = append(kept, m)
			continue
		}
		path := m.item.path
		made, ok := g.keep(&m.item)
		if made.raw != nil {
			kept = append(kept, made)
		}
		switch {
		case ok && first != "":
			g.lost[first] = path
		case !ok && first == "":
			g.lose(path)
		}
	}
	clear(f.members[len(kept):])
	f.members = kept
}

// keep makes an entry that was promised. It is false if another file is in it, or none.
func (g *grouper) keep(it *item) (made member, ok bool) {
	defer it.release()
	saw := it.stat.id
	err := it.tryTwice(func() (err error) {
		made, err = g.read(it)
		return err
	})
	if err != nil {
		g.current.noteError(it.path, err)
		return member{}, false
	}
	return made, it.stat.id == saw
}

// lose takes down that a path doesn't hold the content that was promised.
func (g *grouper) lose(path string) {
	if g.lost == nil {
		g.lost = map[string]string{}
	}
	g.lost[path] = ""
}
