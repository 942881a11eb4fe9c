// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"testing"
	"time"

	"appliance.io/backup-operator/internal/archive/index"
	"golang.org/x/sys/unix"
)

// settledEntry is an entry, and the item that it was made of.
func settledEntry() (index.Entry, item) {
	it := item{
		path: "data/f", volume: &volume{truthful: true, horizon: index.Time{Sec: 2_000}},
		stat: stat{mode: unix.S_IFREG | 0o644, uid: 1, gid: 2, size: 3, nlink: 1, mtime: timestamp{4, 5}, ctime: timestamp{6, 7}, id: fileID{8, 9}},
	}
	e := newEntry(&it, &it.stat, index.Regular)
	e.Size, e.Data = 3, 3
	return e, it
}

func TestUnchangedMeansThatAllIsTheSame(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*index.Entry, *item)
		want   bool
	}{
		"nothing": {func(*index.Entry, *item) {}, true},
		// Clones of volumes are other devices with the same files.
		"device":              {func(_ *index.Entry, it *item) { it.stat.id.dev = 77 }, true},
		"blocks":              {func(_ *index.Entry, it *item) { it.stat.blocks = 77 }, true},
		"size":                {func(_ *index.Entry, it *item) { it.stat.size = 4 }, false},
		"permissions":         {func(_ *index.Entry, it *item) { it.stat.mode ^= 1 }, false},
		"setuid":              {func(_ *index.Entry, it *item) { it.stat.mode |= unix.S_ISUID }, false},
		"type":                {func(_ *index.Entry, it *item) { it.stat.mode = unix.S_IFIFO | 0o644 }, false},
		"owner":               {func(_ *index.Entry, it *item) { it.stat.uid = 0 }, false},
		"group":               {func(_ *index.Entry, it *item) { it.stat.gid = 0 }, false},
		"inode":               {func(_ *index.Entry, it *item) { it.stat.id.ino = 10 }, false},
		"written to":          {func(_ *index.Entry, it *item) { it.stat.mtime, it.stat.ctime = timestamp{9, 0}, timestamp{9, 0} }, false},
		"mtime, set back":     {func(_ *index.Entry, it *item) { it.stat.mtime.sec = 3 }, false},
		"mtime, nanoseconds":  {func(_ *index.Entry, it *item) { it.stat.mtime.nsec++ }, false},
		"only the ctime":      {func(_ *index.Entry, it *item) { it.stat.ctime.sec++ }, false},
		"ctime, nanoseconds":  {func(_ *index.Entry, it *item) { it.stat.ctime.nsec++ }, false},
		"a clock set back":    {func(_ *index.Entry, it *item) { it.stat.ctime.sec -= 3600 }, false},
		"not settled":         {func(e *index.Entry, _ *item) { e.Flags &^= index.Settled }, false},
		"another path":        {func(_ *index.Entry, it *item) { it.path = "data/g" }, false},
		"a name more":         {func(_ *index.Entry, it *item) { it.link = "data/a" }, false},
		"an untrue volume":    {func(_ *index.Entry, it *item) { it.volume = &volume{} }, false},
		"an unknown volume":   {func(_ *index.Entry, it *item) { it.volume = nil }, false},
		"a link of that name": {func(e *index.Entry, it *item) { e.Type, e.Link, it.link = index.HardLink, "data/a", "data/a" }, true},
		"a link of another":   {func(e *index.Entry, it *item) { e.Type, e.Link, it.link = index.HardLink, "data/a", "data/b" }, false},
		"a link no more":      {func(e *index.Entry, _ *item) { e.Type, e.Link = index.HardLink, "data/a" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			e, it := settledEntry()
			test.change(&e, &it)
			if got := unchanged(&e, &it); got != test.want {
				t.Errorf("unchanged: %t", got)
			}
		})
	}
}

func TestSettledMeansSafelyBeforeTheRun(t *testing.T) {
	start := time.Unix(1_000_000, 500)
	at := func(sec int64, nsec int32) index.Time { return index.Time{Sec: sec, Nsec: nsec} }
	margin := int64(localMargin / time.Second)
	horizon := at(start.Unix()-margin, 500)
	local := &volume{truthful: true, horizon: horizon}
	for name, test := range map[string]struct {
		volume *volume
		ctime  index.Time
		want   bool
	}{
		"long ago":                    {local, at(1, 0), true},
		"just before the margin":      {local, at(start.Unix()-margin, 499), true},
		"just within":                 {local, at(start.Unix()-margin, 500), false},
		"at the start":                {local, at(start.Unix(), 500), false},
		"in the future":               {local, at(start.Unix()+1e6, 0), false},
		"long ago, flushing failed":   {&volume{truthful: true}, at(1, 0), false},
		"long ago, an untrue volume":  {&volume{horizon: horizon}, at(1, 0), false},
		"long ago, an unknown volume": {nil, at(1, 0), false},
	} {
		if got := test.volume.settled(test.ctime); got != test.want {
			t.Errorf("%s: settled: %t", name, got)
		}
	}
}

func TestEntriesReadWithAWarningAreNotTrusted(t *testing.T) {
	for kind, want := range map[WarningKind]index.Flags{
		Changed: index.Mixed, Shrank: index.Flawed, Unreadable: index.Flawed, Grew: 0, Damaged: index.Settled,
	} {
		var j journal
		j.note("data/other", Changed, nil)
		mark := len(j.warnings)
		j.note("data/f", kind, nil)
		j.enter(index.Entry{Flags: index.Settled}, mark)
		if got := j.entries[0].Flags; got != want {
			t.Errorf("%s: flags %b, want %b", kind, got, want)
		}
	}
}

func TestTypesOfFileSystems(t *testing.T) {
	const fuse, fat, squashfs, ninep, unheardOf = 0x65735546, 0x4d44, 0x73717368, 0x01021997, 0x12345678
	for magic, want := range map[uint32]time.Duration{
		unix.EXT4_SUPER_MAGIC: localMargin, unix.XFS_SUPER_MAGIC: localMargin, unix.BTRFS_SUPER_MAGIC: localMargin,
		unix.NFS_SUPER_MAGIC: networkMargin, unix.SMB2_SUPER_MAGIC: networkMargin, unix.CEPH_SUPER_MAGIC: networkMargin,
		unix.TMPFS_MAGIC: 0, fuse: 0, fat: 0, squashfs: 0, ninep: 0, unheardOf: 0,
	} {
		if margin, ok := marginOf(magic); margin != want || ok != (want > 0) {
			t.Errorf("%#x: %v, %t", magic, margin, ok)
		}
	}
}

func TestVolumesAreFlushedAfterTheTimeIsTaken(t *testing.T) {
	root := openDirectory(t, trustedDir(t))
	st, err := fstat(root.fd)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Unix(1_000_000, 0)
	for name, test := range map[string]struct {
		flush   error
		horizon index.Time
	}{
		"flushed":     {nil, index.Time{Sec: 1_000_000 - int64(localMargin/time.Second)}},
		"not flushed": {unix.EIO, index.Time{}},
	} {
		var order []string
		vs := newVolumes(func() time.Time {
			order = append(order, "time")
			return begin
		}, func(int) error {
			order = append(order, "flush")
			return test.flush
		})
		v := vs.enter(root.fd, st.id.dev)
		if again := vs.enter(root.fd, st.id.dev); again != v || vs.of(st.id.dev) != v || vs.of(st.id.dev+1) != nil {
			t.Errorf("%s: the volume is looked at again and again", name)
		}
		if !v.truthful || v.horizon != test.horizon || len(order) != 2 || order[0] != "time" {
			t.Errorf("%s: %+v after %q", name, v, order)
		}
	}
}
