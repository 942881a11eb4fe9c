// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive"
)

// hidden is damage that a listing doesn't show.
type hidden map[string]bool

func (h hidden) examine(b Backup) Backup {
	if h[b.File] {
		return b.damaged(errors.New("damaged"))
	}
	return b
}

// TestDamagedBackupsPushOutNoSoundOnes compares what is decided with what would be if all damage had been known before.
func TestDamagedBackupsPushOutNoSoundOnes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 20000 {
		letters := randomHistory(rng)
		backups := history(letters)
		rules := randomRules(rng, backups)
		damage, known := hidden{}, slices.Clone(backups)
		for i, b := range backups {
			if b.Good() && rng.IntN(3) == 0 {
				damage[b.File] = true
				known[i] = damage.examine(b)
			}
		}
		kept := func(decisions []Decision) map[string]bool {
			names := map[string]bool{}
			for _, d := range decisions {
				names[d.Backup.File] = d.Keep
			}
			return names
		}
		want := kept(Retain(known, rules))
		examined := 0
		got := kept(RetainSound(backups, rules, func(b Backup) Backup {
			examined++
			return damage.examine(b)
		}))
		for file, keep := range want {
			if keep && !got[file] && !damage[file] {
				t.Fatalf("%s with %+v: %s was removed because of damaged ones", letters, rules, file)
			}
			if !keep && got[file] && anyRemoved(got) {
				t.Fatalf("%s with %+v: %s was kept", letters, rules, file)
			}
		}
		if examined > len(backups) {
			t.Fatalf("%d of %d were examined", examined, len(backups))
		}
	}
}

func anyRemoved(kept map[string]bool) bool {
	for _, keep := range kept {
		if !keep {
			return true
		}
	}
	return false
}

func TestNothingIsExaminedWhileNothingIsRemoved(t *testing.T) {
	RetainSound(history("ccidfo"), Rules{Policy: own, Keep: 4, Current: made(1, 'c').File}, func(b Backup) Backup {
		t.Errorf("%s was", b.File)
		return b
	})
}

func TestDamagedBackupsAreNotSentToTheMirror(t *testing.T) {
	here := history("ccccc")
	damage := hidden{here[1].File: true, here[3].File: true}
	var got []string
	for _, b := range MissingSound(here, nil, Rules{Policy: own, Keep: 3, Current: here[4].File}, damage.examine) {
		got = append(got, b.File)
	}
	if want := []string{here[4].File, here[2].File, here[0].File}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestExamine(t *testing.T) {
	dir := t.TempDir()
	sound := back(t, dir, "app", own, day0)
	if got := Examine(dir, sound); got.State != Complete || got.Err != nil {
		t.Errorf("a sound one is %s: %v", got.State, got.Err)
	}
	path := filepath.Join(dir, sound.File)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.LastIndex(string(content), "ABOARCHVD") + 20
	content[at] ^= 1
	put(t, path, string(content))
	got := Examine(dir, sound)
	if got.State != Damaged || !errors.Is(got.Err, archive.ErrDamaged) {
		t.Errorf("a damaged one is %s: %v", got.State, got.Err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := Examine(dir, sound); !errors.Is(got.Err, os.ErrNotExist) {
		t.Errorf("one that is gone is %s: %v", got.State, got.Err)
	}
}
