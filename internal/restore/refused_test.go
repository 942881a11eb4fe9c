// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
	"golang.org/x/sys/unix"
)

// An entry that is found by its path, in a block that isn't gone through, is looked at as closely as others.
func TestWhatIsFoundByItsPathLiesInItsFrame(t *testing.T) {
	beyond := func(e *forgedEntry) { e.Headers = 1 << 20 }
	long := func(e *forgedEntry) { e.Size, e.Data = 1<<20, 1<<20 }
	for name, c := range map[string]struct {
		first, second []forgedEntry
		include       string
	}{
		"a directory's headers": {
			[]forgedEntry{directoryEntry("data"), directoryEntry("data/d").with(beyond)},
			[]forgedEntry{regular("data/d/x", "x")}, "data/d/x",
		},
		"a first name's headers": {
			[]forgedEntry{directoryEntry("data"), regular("data/f", "f").with(beyond)},
			[]forgedEntry{other(index.HardLink, "data/g", "data/f")}, "data/g",
		},
		"a first name's data": {
			[]forgedEntry{directoryEntry("data"), regular("data/f", "f").with(long), directoryEntry("data/fg")},
			[]forgedEntry{other(index.HardLink, "data/g", "data/f")}, "data/g",
		},
	} {
		file := newForgery().add(t, c.first...).add(t, c.second...).finish(t)
		got, err := restoreInto(t, openForged(t, file), Options{Target: t.TempDir(), Include: []string{c.include}})
		if err != nil || !got.warned(Lost, c.include) || got.Files+got.HardLinks > 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// Other file systems take other names and bigger values of attributes.
func TestAnAttributeThatDoesNotFitCostsItself(t *testing.T) {
	for name, record := range map[string][2]string{
		"none":  {"SCHILY.xattr.nonesuch.x", "v"},
		"space": {"SCHILY.xattr.user.x", strings.Repeat("v", 60<<10)}, // more than ext4 takes, and not more than XFS does
	} {
		e := regular("data/x", "content")
		e.headers = tarHeaders(&e.Entry, record[0], record[1])
		target := t.TempDir()
		got, err := restoreInto(t, openForged(t, forge(t, directoryEntry("data"), e)), Options{Target: target})
		if err != nil || name != "space" && !got.warned(Partial, "data/x") {
			t.Errorf("%s: %+v, %v", name, got.Result, err)
		}
		if content, err := os.ReadFile(target + "/data/x"); err != nil || string(content) != "content" {
			t.Errorf("%s: %q, %v", name, content, err)
		}
	}
}

// TestManyAttributesCostTheirEntryOnly: a forged entry must not keep a restore busy, and is no reason not to restore the
// others.
func TestManyAttributesCostTheirEntryOnly(t *testing.T) {
	var records []string
	for i := range 200_000 {
		records = append(records, fmt.Sprintf("SCHILY.xattr.user.%06d", i), "")
	}
	forged := regular("data/x", "content")
	forged.headers = tarHeaders(&forged.Entry, records...)
	file := newForgery().add(t, directoryEntry("data"), forged).add(t, regular("data/y", "honest")).finish(t)
	got, err := restoreInto(t, openForged(t, file), Options{Target: t.TempDir()})
	if err != nil || !got.warned(Lost, "data/x") || got.Files != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Whatever the reason is for which a file can't be given away, it must not run as who restores.
func TestNoSetuidWithoutTheOwner(t *testing.T) {
	for _, refusal := range []error{unix.EPERM, unix.EOVERFLOW, unix.EOPNOTSUPP} {
		mode := uint32(0)
		h := handle{
			chown:    func(int, int) error { return refusal },
			chmod:    func(m uint32) error { mode = m; return nil },
			setXattr: func(string, []byte) error { return nil },
			delXattr: func(string) error { return nil },
		}
		if err := (&restorer{}).describe(h, "data/x", &index.Entry{Mode: 0o6755}, nil, false); err != nil || mode != 0o755 {
			t.Errorf("%v: mode %o, %v", refusal, mode, err)
		}
	}
}

// A path in a source that goes nowhere can't be restored, and that is no success.
func TestAPathInASourceWithoutATargetIsRefused(t *testing.T) {
	file := newForgery().add(t, directoryEntry("data"), regular("data/x", "x")).add(t, directoryEntry("logs"), regular("logs/y", "y"))
	target := filepath.Join(t.TempDir(), "t")
	_, err := restoreInto(t, openForged(t, file.finish(t)), Options{
		Targets: map[string]string{"data": target}, Include: []string{"logs/y"},
	})
	if !errors.Is(err, ErrInvalidTarget) {
		t.Errorf("%v", err)
	}
	if _, err := os.Lstat(target); err == nil {
		t.Error("something was made")
	}
}
