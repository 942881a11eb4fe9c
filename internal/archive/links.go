// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import "golang.org/x/sys/unix"

// firstName is the name under which a file with several names is in the archive.
type firstName struct {
	path string
	file identity
	left uint64 // number of names not yet seen; the rest may be outside the source
}

// identity tells files from each other that have the same inode number one after the other: once a file is gone, its
// number may be given to a new one. The time of birth is what never changes; where the file system doesn't keep it, a
// file that looks the same is taken for the same.
type identity struct {
	kind  uint32
	born  timestamp // zero if it isn't known
	size  int64
	mtime timestamp
}

// identityAt is the identity of a file whose name and stat are given.
func identityAt(dir int, name string, st *stat) identity {
	who := identity{kind: st.kind(), size: st.size, mtime: st.mtime}
	var s unix.Statx_t
	err := retry(func() error {
		return unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME|unix.STATX_INO, &s)
	})
	// The name may lead to another file than a moment ago.
	if err == nil && s.Ino == st.id.ino {
		who.born = birth(&s)
	}
	return who
}

// bornOf is when an open file was created, zero if that isn't known.
func bornOf(fd int) timestamp {
	var s unix.Statx_t
	err := retry(func() error { return unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &s) })
	if err != nil {
		return timestamp{}
	}
	return birth(&s)
}

func birth(s *unix.Statx_t) timestamp {
	if s.Mask&unix.STATX_BTIME == 0 {
		return timestamp{}
	}
	return timestamp{s.Btime.Sec, int64(s.Btime.Nsec)}
}

// same tells whether two identities seen under one inode number are one file's.
func (who identity) same(other identity) bool {
	unknown := timestamp{}
	switch {
	case who.kind != other.kind:
		return false
	case who.born != unknown && other.born != unknown:
		return who.born == other.born
	default:
		return who.size == other.size && who.mtime == other.mtime
	}
}

// linked visits a file that has several names.
func (w *walker) linked(it item) error {
	id, left, path := it.stat.id, it.stat.nlink, it.path
	who := identityAt(it.parent.fd, it.name, &it.stat)
	first, seen := w.links[id]
	if seen = seen && first.file.same(who); seen {
		it.link, left = first.path, first.left
	} else {
		first = firstName{path: path, file: who}
		delete(w.links, id)
	}
	archived, err := w.visitor.file(it)
	if err != nil || !archived && !seen {
		return err
	}
	if first.left = left - 1; first.left == 0 {
		delete(w.links, id)
	} else {
		w.links[id] = first
	}
	return nil
}
