// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
)

// doubles is an archive of names that a target without case takes for the same, each with what is at the second name.
func doubles(t *testing.T) (file []byte, seconds []string) {
	t.Helper()
	big := regular("data/big", random(3<<20, 2))
	big.continued = 1 << 20
	entries := []forgedEntry{
		directoryEntry("data"), regular("data/BIG", "first"), regular("data/CaseF", "first"),
		directoryEntry("data/Dir"), regular("data/Dir/x", "first"), regular("data/Same", "same"),
		big, regular("data/casef", "second"),
		directoryEntry("data/dir"), regular("data/dir/x", "second"), directoryEntry("data/dir/y"), regular("data/dir/y/z", "second"),
		regular("data/same", "same"), regular("data/single", "single"),
	}
	return forge(t, entries...), []string{"data/big", "data/casef", "data/dir", "data/dir/x", "data/dir/y", "data/dir/y/z", "data/same"}
}

// TestNamesThatTheTargetTakesForTheSame are restored once each, and the others are named: with and without permission to
// overwrite, into a new directory and one that stands, and each time again.
func TestNamesThatTheTargetTakesForTheSame(t *testing.T) {
	onFileSystem(t, "exfat", func(t *testing.T, mounted string) {
		archived, seconds := doubles(t)
		a := openForged(t, archived)
		for _, overwrite := range []bool{false, true} {
			for _, standing := range []bool{false, true} {
				target := filepath.Join(mounted, "t")
				if standing {
					if err := os.MkdirAll(filepath.Join(target, "data", "Dir"), 0o755); err != nil {
						t.Fatal(err)
					}
				}
				for range 3 {
					got, err := restoreInto(t, a, Options{Target: target, Overwrite: overwrite})
					if err != nil || got.Failed != int64(len(seconds)) || got.Files != 5 || got.Differing+got.Lost > 0 {
						t.Errorf("overwrite %t, standing %t: %+v, %v\n%s", overwrite, standing, got.Result, err, got.text())
					}
					for _, path := range seconds {
						if !got.warned(Failed, path) {
							t.Errorf("%s is not named", path)
						}
					}
					if text := got.text(); !strings.Contains(text, `"data/casef": the target takes its name for the same as that of "data/CaseF"`) {
						t.Errorf("the first name isn't named:\n%s", text)
					}
					for path, want := range map[string]string{"BIG": "first", "CaseF": "first", "Dir/x": "first", "single": "single"} {
						if content, err := os.ReadFile(filepath.Join(target, "data", path)); err != nil || string(content) != want {
							t.Errorf("%s holds %.20q, %v", path, content, err)
						}
					}
				}
				if err := os.RemoveAll(target); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestNamesThatDifferOnlyInCaseElsewhere are restored, all of them, where the target tells them apart.
func TestNamesThatDifferOnlyInCaseElsewhere(t *testing.T) {
	a := openForged(t, forge(t, directoryEntry("data"), regular("data/A", "A"), other(index.HardLink, "data/B", "data/A"),
		regular("data/a", "a"), other(index.HardLink, "data/b", "data/A"), regular("data/e\u0301", "two"), regular("data/\u00e9", "one")))
	target := t.TempDir()
	for range 2 {
		if got := mustRestore(t, a, Options{Target: target}); got.Files != 4 || got.HardLinks != 2 {
			t.Errorf("%+v", got.Result)
		}
	}
}

// TestNamesFoldAsTheDirectoryFoldsThem: no more and no less than it was found to.
func TestNamesFoldAsTheDirectoryFoldsThem(t *testing.T) {
	ext4 := foldsCase | foldsFully | foldsAccents | foldsNothings
	for _, test := range []struct {
		f    folding
		a, b string
		same bool
	}{
		{0, "A", "a", false}, {foldsCase, "CaseF", "cASEf", true}, {foldsCase, "\u00c9", "\u00e9", true}, {foldsCase, "stra\u00dfe", "strasse", false},
		{foldsCase, "\u00e9", "e\u0301", false}, {foldsAccents, "\u00e9", "e\u0301", true}, {foldsAccents, "E", "e", false},
		{ext4, "STRASSE", "stra\u00dfe", true}, {ext4, "E\u0301", "\u00e9", true}, {ext4, "a\u00adb", "AB", true}, {ext4, "a.", "a", false},
		{foldsCase | foldsDots, "A..", "a", true}, {foldsCase, "\xff\xc1", "\xff\xe1", false}, {foldsCase, "\xffA", "\xffa", false},
	} {
		if got := test.f.key(test.a) == test.f.key(test.b); got != test.same {
			t.Errorf("%b: %q and %q: %t", test.f, test.a, test.b, got)
		}
	}
}
