// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"slices"
	"time"

	"appliance.io/backup-operator/internal/archive/index"
	"golang.org/x/sys/unix"
)

// volume is what a run knows of a file system that holds a part of a source. A nil volume is one that nothing is known of.
type volume struct {
	truthful bool       // it keeps change times and inode numbers as it should
	horizon  index.Time // what changed last before this is settled; the beginning of time if nothing ever is
}

// keeps tells whether change times and inode numbers can be relied on.
func (v *volume) keeps() bool { return v != nil && v.truthful }

// settled tells whether a file that was changed last at ctime, and is read in this run, can't be changed any more
// without another change time.
func (v *volume) settled(ctime index.Time) bool { return v.keeps() && v.horizon.After(ctime) }

// volumes are the file systems that a walk has come across, by device. A source may have others mounted in it. Nil knows
// nothing of any.
type volumes struct {
	now   func() time.Time
	flush func(fd int) error // syncfs
	known map[uint64]*volume
}

func newVolumes(now func() time.Time, flush func(fd int) error) *volumes {
	return &volumes{now: now, flush: flush, known: map[uint64]*volume{}}
}

// enter is told of every directory that the walk enters, before anything in it is looked at.
func (vs *volumes) enter(fd int, dev uint64) *volume {
	if vs == nil {
		return nil
	}
	if v, ok := vs.known[dev]; ok {
		return v
	}
	v := vs.look(fd)
	vs.known[dev] = v
	return v
}

// of is what is known of a device; nil for one that no directory has been entered on.
func (vs *volumes) of(dev uint64) *volume {
	if vs == nil {
		return nil
	}
	return vs.known[dev]
}

// look finds out about a file system. Everything that is in memory goes to disk, after the time has been taken: pages
// that were written through a shared mapping are read-only then, so that the next store is noticed, and moves the
// change time beyond the horizon. If that fails, nothing is ever settled.
func (vs *volumes) look(fd int) *volume {
	var s unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(fd, &s) }); err != nil {
		return nil
	}
	margin, truthful := marginOf(uint32(s.Type))
	truthful = truthful && !forgetful(mountOptions(fd))
	v := &volume{truthful: truthful}
	start := vs.now().Add(-margin)
	if truthful && vs.flush(fd) == nil {
		v.horizon = index.Time{Sec: start.Unix(), Nsec: int32(start.Nanosecond())}
	}
	return v
}

// forgetful tells whether a file system is mounted so that after a power failure a file may have its new content and its
// old change time: with lazytime times get to the disk up to a day after the content, and a volatile overlay writes nothing
// when it is asked to.
func forgetful(options []string) bool {
	return slices.Contains(options, "lazytime") || slices.Contains(options, "volatile")
}

const (
	// localMargin is longer than a tick of the coarsest clock by which a local file system marks changes: ext3 counts
	// whole seconds.
	localMargin = 2 * time.Second
	// networkMargin is how far a server's clock may be off besides.
	networkMargin = time.Minute
)

// marginOf says, by the magic number of a type of file system, how far change times must lie back to be settled. It is
// false for types whose change times or inode numbers can't be relied on: in tmpfs a store through a shared mapping never
// moves a time; FUSE, FAT and their like make inode numbers up; and types that aren't known may do anything.
func marginOf(magic uint32) (time.Duration, bool) {
	const (
		zfs, bcachefs = 0x2fc12fc1, 0xca451a4e
		gfs2          = 0x01161970
	)
	switch magic {
	case unix.EXT4_SUPER_MAGIC, // ext2 and ext3 as well
		unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, zfs, bcachefs, unix.OVERLAYFS_SUPER_MAGIC:
		return localMargin, true
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC,
		gfs2, unix.OCFS2_SUPER_MAGIC:
		return networkMargin, true
	}
	return 0, false
}
