// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"fmt"
	"math"
	"sync"
	"time"

	"appliance.io/backup-operator/internal/archive/index"
	"golang.org/x/sys/unix"
)

// clock is what a file system makes of the times that files are given: ext3, and ext4 with inodes of 128 bytes, keep whole
// seconds up to the year 2038, FAT every other second from 1980 on. What was restored there is told from what differs by
// what the file system made of it.
type clock struct {
	step     int64 // nanoseconds; times that are closer are the same one
	min, max int64 // seconds; what is beyond is put there
}

// coarse is for targets on which nothing can be measured: contents tell what differs.
var coarse = clock{step: 2e9, min: 0, max: math.MaxInt32}

// agree reports whether a file that was given a time has another one here.
func (c clock) agree(there, want index.Time) bool {
	if want.Sec >= c.max {
		want = index.Time{Sec: c.max}
	}
	if want.Sec <= c.min {
		want = index.Time{Sec: c.min}
	}
	return closer(there, want, c.step)
}

// closer reports whether two times are less than so many nanoseconds apart.
func closer(a, b index.Time, nanoseconds int64) bool {
	if b.After(a) {
		a, b = b, a
	}
	// Without a sign, the difference of any two numbers is right.
	seconds := uint64(a.Sec) - uint64(b.Sec)
	return seconds < 10 && int64(seconds)*1e9+int64(a.Nsec)-int64(b.Nsec) < nanoseconds
}

// everywhere reports whether all file systems can hold a second: FAT begins in 1980, ext3 ends in 2038.
func everywhere(sec int64) bool { return sec >= 315_619_200 && sec < math.MaxInt32 }

// clocks measures each file system of the targets once, when it first matters.
type clocks struct {
	mutex    sync.Mutex
	measured map[uint64]clock // by device
	name     func() string    // gives names for files that are there for a moment
}

// agree reports whether a file in a directory, as its stat tells, has the time that it is to have, as far as the file
// system can hold that.
func (cs *clocks) agree(dir int, st *unix.Stat_t, want index.Time) bool {
	there := modTime(st)
	switch {
	case there == want:
		return true
	case everywhere(want.Sec) && !closer(there, want, coarse.step):
		return false
	}
	cs.mutex.Lock()
	defer cs.mutex.Unlock()
	c, ok := cs.measured[uint64(st.Dev)]
	if !ok {
		var err error
		if c, err = measureClock(dir, cs.name()); err != nil {
			return coarse.agree(there, want) // The directory may be one in which nothing can be made.
		}
		cs.measured[uint64(st.Dev)] = c
	}
	return c.agree(there, want)
}

// measureClock finds out about a directory's file system with a file that is there for a moment.
func measureClock(dir int, name string) (c clock, err error) {
	err = leavingTime(dir, func() error {
		fd, err := openAt(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_ = unix.Close(fd)
		defer func() { _ = unix.Unlinkat(dir, name, 0) }()
		c, err = clockOf(dir, name)
		return err
	})
	return c, err
}

// clockOf finds it out with a file.
func clockOf(dir int, name string) (clock, error) {
	c := clock{step: 1}
	for _, t := range []index.Time{{Sec: 1e9 + 1, Nsec: 999_999_999}, {Sec: 1e9 + 1, Nsec: 123_456_789}, {Sec: 1e9, Nsec: 1}} {
		there, err := giveTime(dir, name, t)
		if err != nil {
			return c, err
		}
		for !closer(there, t, c.step) && c.step < coarse.step {
			c.step *= 10
		}
	}
	if c.step >= 1e9 {
		// Some programs behind FUSE answer in seconds from memory what they keep in pairs of them.
		c.step = coarse.step
	}
	c.min, c.max = limit(dir, name, -1<<60), limit(dir, name, 1<<60)
	return c, nil
}

// limit is where a file system puts a second that is out of reach for most.
func limit(dir int, name string, sec int64) int64 {
	there, err := giveTime(dir, name, index.Time{Sec: sec})
	switch {
	case err != nil: // It refuses such seconds: these are what setTime falls back to.
		return min(max(sec, coarse.min), coarse.max)
	case there.Sec == sec && sec < 0:
		return math.MinInt64
	case there.Sec == sec:
		return math.MaxInt64
	}
	return there.Sec
}

// giveTime gives a file a time, and asks the file system, also one on a server, what became of it.
func giveTime(dir int, name string, t index.Time) (index.Time, error) {
	if err := setModTime(dir, name, t, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return index.Time{}, err
	}
	var st unix.Statx_t
	err := retry(func() error {
		return unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_FORCE_SYNC, unix.STATX_MTIME, &st)
	})
	return index.Time{Sec: st.Mtime.Sec, Nsec: int32(st.Mtime.Nsec)}, err
}

// setTime gives an entry that is restored its time of modification, under whatever name it has, and names it if the file
// system can't hold that.
func (r *restorer) setTime(dir int, name, path string, t index.Time, flags int) error {
	err := setModTime(dir, name, t, flags)
	if everywhere(t.Sec) {
		return err
	}
	if err != nil && concernsOneFile(err) {
		err = setModTime(dir, name, index.Time{Sec: min(max(t.Sec, coarse.min), coarse.max)}, flags)
	}
	if err != nil {
		return err
	}
	st, err := statAt(dir, name)
	if err == nil && !closer(modTime(&st), t, coarse.step) {
		r.ledger.note(path, Partial, fmt.Errorf("the target can't hold its time of modification, %s: it has %s",
			timeText(t), timeText(modTime(&st))))
	}
	return nil
}

// timeText writes a time for people.
func timeText(t index.Time) string {
	if t.Sec < -62_135_596_800 || t.Sec > 253_402_300_799 { // the years 1 to 9999
		return fmt.Sprintf("%d seconds from 1970", t.Sec)
	}
	return time.Unix(t.Sec, int64(t.Nsec)).UTC().Format(time.RFC3339)
}
