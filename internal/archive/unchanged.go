// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"appliance.io/backup-operator/internal/archive/index"
	"golang.org/x/sys/unix"
)

// A file is taken for unchanged by what the file system says of it. That is as good as reading it, if
//
//   - everything that it says is the same, the change time above all: no program can set that;
//   - the change time lay safely before the run that read the file began, so that every change after the reading, and
//     one while it went on, moved the change time (the entry is settled);
//   - what was in memory, written through a shared mapping, went to disk after that run began and before the file was
//     read: the next such write had to move the change time as well (see volumes);
//   - the file system is of a type that keeps its promises.

// unchanged tells whether the item is still what the entry of an earlier archive says.
func unchanged(old *index.Entry, it *item) bool {
	typ, ok := typeOf(it)
	return ok && old.Is(index.Settled) && it.volume.keeps() && old.Path == it.path &&
		old.Type == typ && (typ != index.HardLink || old.Link == it.link) && sameStat(old, &it.stat)
}

// sameStat tells whether a file's metadata are those of an entry.
func sameStat(old *index.Entry, st *stat) bool {
	return (old.Type != index.Regular || old.Size == st.size) && old.Mode == st.mode&0o7777 &&
		old.UID == st.uid && old.GID == st.gid && old.Inode == st.id.ino &&
		old.ModTime == indexTime(st.mtime) && old.ChangeTime == indexTime(st.ctime)
}

// typeOf is the type that an item's entry has; false if there can't be one.
func typeOf(it *item) (byte, bool) {
	if it.link != "" {
		return index.HardLink, true
	}
	switch it.stat.kind() {
	case unix.S_IFREG:
		return index.Regular, true
	case unix.S_IFDIR:
		return index.Directory, true
	case unix.S_IFLNK:
		return index.Symlink, true
	case unix.S_IFIFO:
		return index.FIFO, true
	case unix.S_IFCHR:
		return index.Character, true
	case unix.S_IFBLK:
		return index.Device, true
	}
	return 0, false
}

func indexTime(t timestamp) index.Time { return index.Time{Sec: t.sec, Nsec: int32(t.nsec)} }

// newEntry is what the index says of an item whose entry has been made, but for the sizes and the hash. It is settled,
// as far as its times can tell.
func newEntry(it *item, st *stat, typ byte) index.Entry {
	e := index.Entry{
		Path: it.path, Type: typ, Mode: st.mode & 0o7777, UID: st.uid, GID: st.gid,
		ModTime: indexTime(st.mtime), ChangeTime: indexTime(st.ctime), Inode: st.id.ino,
	}
	if it.volume.settled(e.ChangeTime) {
		e.Flags |= index.Settled
	}
	return e
}
