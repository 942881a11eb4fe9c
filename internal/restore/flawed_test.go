// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/treetest"
)

func flawed(e *forgedEntry) { e.Flags |= index.Flawed }

// broken is an archive of files that could not be read in full, small and over several frames, with further names.
func broken(t *testing.T) []byte {
	t.Helper()
	zeros := strings.Repeat("\x00", 3<<20)
	big := regular("data/big", zeros).with(flawed)
	big.continued = 1 << 20
	return newForgery().add(t,
		directoryEntry("data"), big, other(index.HardLink, "data/bigger", "data/big"),
		regular("data/mixed", "mixed").with(func(e *forgedEntry) { e.Flags |= index.Mixed }),
		regular("data/small", "\x00\x00\x00\x00").with(flawed), other(index.HardLink, "data/smaller", "data/small"),
		other(index.FIFO, "data/spare", "").with(flawed), regular("data/whole", "whole"),
	).finish(t)
}

var brokenPaths = []string{"data/big", "data/bigger", "data/small", "data/smaller", "data/spare"}

// TestWhatIsKnownToBeBrokenIsNamed: each of them, the first time and when it stands, and what is whole is not.
func TestWhatIsKnownToBeBrokenIsNamed(t *testing.T) {
	a, target := openForged(t, broken(t)), t.TempDir()
	for range 2 {
		got, err := restoreInto(t, a, Options{Target: target})
		if err != nil || got.Complete() || got.Flawed != int64(len(brokenPaths)) || got.Mixed != 1 || got.Differing+got.Lost > 0 {
			t.Errorf("%+v, %v\n%s", got.Result, err, got.text())
		}
		for _, path := range brokenPaths {
			if !got.warned(Flawed, path) {
				t.Errorf("%s is not named:\n%s", path, got.text())
			}
			if _, err := os.Lstat(filepath.Join(target, path)); err != nil {
				t.Error(err)
			}
		}
	}
	got, err := restoreInto(t, a, Options{Target: t.TempDir(), Include: []string{"data/whole"}})
	if err != nil || !got.Complete() || !got.OnlyFiles {
		t.Errorf("a whole file: %+v, %v", got.Result, err)
	}
}

// TestNothingIsReplacedByWhatIsKnownToBeBroken: neither what differs at first sight nor what has the same size and time,
// neither a file nor a further name, unless that is asked for.
func TestNothingIsReplacedByWhatIsKnownToBeBroken(t *testing.T) {
	for name, at := range map[string]time.Time{"another time": time.Unix(1_500_000_000, 0), "the same time": time.Unix(1_600_000_000, 0)} {
		for _, names := range [][]string{{"big", "bigger", "small", "smaller"}, {"bigger", "smaller"}} {
			target := t.TempDir()
			good := map[string]string{}
			for _, n := range names {
				good[n] = random(4, 7)
				if strings.HasPrefix(n, "big") {
					good[n] = random(3<<20, 7)
				}
				write(t, filepath.Join(target, n), good[n])
				if err := treetest.SetModTime(filepath.Join(target, n), at); err != nil {
					t.Fatal(err)
				}
			}
			a, opts := openForged(t, broken(t)), Options{Targets: map[string]string{"data": target}, Overwrite: true}
			for range 2 {
				got, err := restoreInto(t, a, opts)
				if err != nil || got.Complete() {
					t.Errorf("%s, %q: %+v, %v", name, names, got.Result, err)
				}
				for n, content := range good {
					if there, err := os.ReadFile(filepath.Join(target, n)); err != nil || string(there) != content {
						t.Errorf("%s, %q: %s was replaced: %v", name, names, n, err)
					}
					if !got.warned(Differs, "data/"+n) && !got.warned(Lost, "data/"+n) {
						t.Errorf("%s, %q: %s is not named:\n%s", name, names, n, got.text())
					}
				}
			}
			opts.OverwriteWithFlawed = true
			got, err := restoreInto(t, a, opts)
			if err != nil || got.Flawed != int64(len(brokenPaths)) || got.Differing+got.Lost > 0 {
				t.Errorf("%s, %q, when asked for: %+v, %v\n%s", name, names, got.Result, err, got.text())
			}
			for n := range good {
				if there, err := os.ReadFile(filepath.Join(target, n)); err != nil || strings.Trim(string(there), "\x00") != "" {
					t.Errorf("%s, %q: %s was not replaced: %v", name, names, n, err)
				}
			}
		}
	}
}
