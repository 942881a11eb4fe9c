// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/treetest"
	"golang.org/x/sys/unix"
)

// timely is a tree in which everything has fractions of seconds.
func timely() dir {
	fine := meta{ModTime: time.Unix(1_600_000_001, 987_654_321)}
	return dir{Meta: fine, Entries: entries{
		"file": file{Content: "file", Meta: fine}, "link": treetest.HardLink{To: "file"},
		"big": file{Content: random(1200<<10, 1), Meta: fine}, "bigger": treetest.HardLink{To: "big"},
		"symlink": treetest.Symlink{Target: "x", Meta: fine}, "symlink2": treetest.HardLink{To: "symlink"},
		"pipe": treetest.FIFO{Meta: fine}, "more": dir{Meta: fine, Entries: entries{"link": treetest.HardLink{To: "file"}}},
		"just before 2038": file{Meta: meta{ModTime: time.Unix(math.MaxInt32, 5e8)}},
	}}
}

// TestCoarseTimesMakeNothingDiffer restores onto file systems with whole seconds, and again.
func TestCoarseTimesMakeNothingDiffer(t *testing.T) {
	for _, kind := range []string{"ext3", "ext4 -I 128"} {
		onFileSystem(t, kind, func(t *testing.T, mounted string) {
			b := backedUp(t, timely())
			for _, overwrite := range []bool{false, true} {
				opts := Options{Targets: map[string]string{"data": filepath.Join(mounted, "t")}, Overwrite: overwrite}
				for kept := range int64(2) {
					got := mustRestore(t, b.archive, opts)
					if s := b.archive.Info().Summary; got.Kept != kept*s.Files || got.HardLinks != s.HardLinks {
						t.Errorf("%s, restore %d: %+v", kind, kept+1, got.Result)
					}
				}
				write(t, filepath.Join(mounted, "t", "file"), "FILE")
				if got, err := restoreInto(t, b.archive, Options{Targets: opts.Targets}); err == nil {
					t.Errorf("%s: another file is taken for the one in the archive: %+v", kind, got.Result)
				}
				if err := os.RemoveAll(filepath.Join(mounted, "t")); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestAYearThatTheTargetCannotHoldIsNamed, and doesn't differ when it is restored again.
func TestAYearThatTheTargetCannotHoldIsNamed(t *testing.T) {
	at := func(sec int64) func(*forgedEntry) {
		return func(e *forgedEntry) { e.ModTime = index.Time{Sec: sec} }
	}
	onFileSystem(t, "ext4 -I 128", func(t *testing.T, mounted string) {
		big := regular("data/big", random(3<<20, 1)).with(at(1 << 40))
		big.continued = 1 << 20
		a := openForged(t, forge(t,
			directoryEntry("data"), big, other(index.HardLink, "data/bigger", "data/big").with(at(1<<40)),
			directoryEntry("data/dir").with(at(1<<50)), regular("data/file", "x").with(at(-1<<40)),
			other(index.FIFO, "data/pipe", "").with(at(-1<<33)), regular("data/usual", "x"),
			regular("data/usual1970", "x").with(at(0)),
		))
		target := filepath.Join(mounted, "t")
		for kept := range int64(2) {
			got, err := restoreInto(t, a, Options{Target: target})
			if err != nil || got.Kept != 4*kept || got.Partial != 4 || got.HardLinks != 1 || got.Differing+got.Lost+got.Failed > 0 {
				t.Errorf("restore %d: %+v, %v\n%s", kept+1, got.Result, err, got.text())
			}
			for _, path := range []string{"data/big", "data/dir", "data/file", "data/pipe"} {
				if !got.warned(Partial, path) {
					t.Errorf("%s is not named", path)
				}
			}
		}
	})
}

// TestTimesAgreeAsFileSystemsKeepThem: what comes of any time agrees with it, and what is further away doesn't.
func TestTimesAgreeAsFileSystemsKeepThem(t *testing.T) {
	for name, c := range map[string]clock{
		"xfs":  {step: 1, min: math.MinInt32, max: 16_299_260_424},
		"ntfs": {step: 100, min: -11_644_473_600, max: 910_692_730_085},
		"ext3": {step: 1e9, min: math.MinInt32, max: math.MaxInt32},
		"fat":  {step: 2e9, min: 315_532_800, max: 4_354_819_198},
		"all":  {step: 1, min: math.MinInt64, max: math.MaxInt64},
	} {
		for shift := range 63 {
			for _, sec := range []int64{1 << shift, -1 << shift, math.MaxInt64, math.MinInt64, 1_600_000_001} {
				for _, nsec := range []int32{0, 1, 123_456_789, 999_999_999} {
					want := index.Time{Sec: sec, Nsec: nsec}
					there := keep(c, want)
					if !c.agree(there, want) {
						t.Errorf("%s makes %v of %v, which differs", name, there, want)
					}
					if there.Sec < math.MaxInt64-4 && c.agree(index.Time{Sec: there.Sec + 4, Nsec: there.Nsec}, want) {
						t.Errorf("%s: four seconds after %v agrees with %v", name, there, want)
					}
				}
			}
		}
	}
}

// keep is what the kernel makes of a time on a file system with such a clock.
func keep(c clock, t index.Time) index.Time {
	switch {
	case t.Sec >= c.max:
		return index.Time{Sec: c.max}
	case t.Sec <= c.min:
		return index.Time{Sec: c.min}
	case c.step == 2e9:
		return index.Time{Sec: t.Sec &^ 1}
	}
	t.Nsec -= t.Nsec % int32(c.step)
	return t
}

// TestClocksAreMeasured on file systems that differ.
func TestClocksAreMeasured(t *testing.T) {
	for kind, want := range map[string]clock{
		"ext4 -I 128": {step: coarse.step, min: math.MinInt32, max: math.MaxInt32},
		"ext4 -I 256": {step: 1, min: math.MinInt32, max: 15_032_385_535},
		"exfat":       {step: coarse.step, min: math.MinInt64, max: math.MaxInt64},
	} {
		onFileSystem(t, kind, func(t *testing.T, mounted string) {
			fd, err := openAt(unix.AT_FDCWD, mounted, unix.O_RDONLY|unix.O_DIRECTORY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			if got, err := measureClock(fd, newTemporaryNames().next()); got != want || err != nil {
				t.Errorf("%+v, want %+v, %v", got, want, err)
			}
		})
	}
}

// TestMeasuringLeavesNothingBehind: neither the file nor another time of the directory.
func TestMeasuringLeavesNothingBehind(t *testing.T) {
	at := t.TempDir()
	if err := treetest.SetModTime(at, time.Unix(1_500_000_000, 7)); err != nil {
		t.Fatal(err)
	}
	fd, err := openAt(unix.AT_FDCWD, at, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if c, err := measureClock(fd, newTemporaryNames().next()); err != nil || c.step != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if st, err := os.Stat(at); err != nil || !st.ModTime().Equal(time.Unix(1_500_000_000, 7)) {
		t.Errorf("%v, %v", st.ModTime(), err)
	}
	if left := pathsIn(t, at); len(left) > 0 {
		t.Errorf("there is %q", left)
	}
}
