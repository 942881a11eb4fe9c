// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/archive"
)

// store is a directory of backups whose runs have a clock that may be anything. made is all that ever was there, in the
// order in which it was made.
type store struct {
	now    time.Time
	there  []Backup
	made   []string
	states map[string]State
}

func newStore() *store { return &store{now: day0, states: map[string]State{}} }

// list is what List would return.
func (s *store) list() []Backup {
	listed := slices.Clone(s.there)
	for i := range listed {
		listed[i].Ahead = listed[i].Name.Time.After(s.now.Add(clockTolerance))
	}
	slices.SortFunc(listed, newestFirst)
	return listed
}

// add adds a backup that begins now, with a sequence number unless an older version makes it.
func (s *store) add(state State, older bool) Backup {
	name := Name{Prefix: "app", Time: s.now.UTC().Truncate(time.Second)}
	for slices.ContainsFunc(s.there, func(b Backup) bool { return b.Name == name }) {
		name.Time = name.Time.Add(time.Second)
	}
	b := Backup{Name: name, File: name.String(), State: state, Header: archive.Header{Policy: own}}
	if !older {
		b.Header.Sequence = NextSequence(s.list(), s.now)
	}
	s.there = append(s.there, b)
	s.made = append(s.made, b.File)
	s.states[b.File] = state
	return b
}

// prune retains keep backups after one has been made.
func (s *store) prune(current Backup, keep int) []Decision {
	decisions := Retain(s.list(), Rules{Policy: own, Keep: keep, Current: current.File})
	for _, d := range decisions {
		if !d.Keep {
			s.there = slices.DeleteFunc(s.there, func(b Backup) bool { return b.File == d.Backup.File })
		}
	}
	return decisions
}

func (s *store) files() []string {
	var files []string
	for _, b := range s.list() {
		files = append(files, b.File)
	}
	return files
}

// jump moves the clock: as a rule a day on, often to anywhere within 20 years, sometimes not at all.
func (s *store) jump(rng *rand.Rand) {
	switch rng.IntN(6) {
	case 0:
	case 1:
		s.now = day0.Add(time.Duration(rng.Int64N(int64(20*365*24*time.Hour))) - 10*365*24*time.Hour)
	case 2:
		s.now = s.now.Add(time.Duration(rng.IntN(5)-2) * time.Second)
	default:
		s.now = s.now.AddDate(0, 0, 1)
	}
}

// TestBackupsAreOrderedAsTheyWereMadeWhateverTheClockSays tries random clocks: what is kept are the backups that were
// made last, in that order, and as many as asked for.
func TestBackupsAreOrderedAsTheyWereMadeWhateverTheClockSays(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		s, keep := newStore(), 1+rng.IntN(5)
		for range rng.IntN(15) {
			s.jump(rng)
			s.prune(s.add(Complete, false), keep)
			s.jump(rng) // Whoever looks may have another clock.
			want := slices.Clone(s.made[max(0, len(s.made)-keep):])
			slices.Reverse(want)
			if got := s.files(); !slices.Equal(got, want) {
				t.Fatalf("kept %q, want %q", got, want)
			}
		}
	}
}

// TestTheBackupMadeLastIsNeverRemoved tries random clocks on directories that older versions, which recorded no order,
// and newer ones take turns in, with incomplete and damaged archives among them.
func TestTheBackupMadeLastIsNeverRemoved(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 5000 {
		s, keep := newStore(), 1+rng.IntN(5)
		last := ""
		for range rng.IntN(15) {
			s.jump(rng)
			state := []State{Complete, Complete, Complete, Incomplete, Damaged}[rng.IntN(5)]
			b := s.add(state, rng.IntN(3) == 0)
			if state == Complete {
				last = b.File
			}
			if state == Damaged {
				continue // No run prunes for such a one.
			}
			before := s.list()
			decisions := s.prune(b, keep)
			if problem := violated(before, decisions, Rules{Policy: own, Keep: keep, Current: b.File}); problem != "" {
				t.Fatal(problem)
			}
			if last != "" && !slices.Contains(s.files(), last) {
				t.Fatalf("%s, the complete one made last, was removed", last)
			}
		}
	}
}

func TestOrderOfBackups(t *testing.T) {
	const now = 10
	named := func(day int, sequence int64) Backup {
		b := made(day, 'c')
		b.Header.Sequence, b.Ahead = sequence, day > now
		return b
	}
	at := func(day int) int64 { return day0.AddDate(0, 0, day).Unix() }
	for _, test := range []struct {
		name    string
		backups []Backup // The last one first.
	}{
		{"by the times in their names without anything else", []Backup{named(3, 0), named(2, 0), named(1, 0)}},
		{"times that have yet to come rank below all others", []Backup{named(2, 0), named(1, 0), named(21, 0), named(20, 0)}},
		{"by sequence numbers, whatever the names say", []Backup{named(1, at(20)+1), named(20, at(20)), named(2, at(2))}},
		{"older versions in between", []Backup{named(4, at(4)), named(3, 0), named(2, at(2)), named(1, 0), named(20, 0)}},
		{"one sequence number twice: the copy with a future name is below", []Backup{named(5, at(5)), named(20, at(5))}},
		{"sequence numbers out of range don't count", []Backup{named(3, at(3)), named(2, 1<<60), named(1, -1)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := slices.Clone(test.backups)
			slices.Reverse(got)
			slices.SortFunc(got, newestFirst)
			for i := range got {
				if got[i].File != test.backups[i].File {
					t.Errorf("at %d: %s, want %s", i, got[i].File, test.backups[i].File)
				}
			}
		})
	}
}

func TestNextSequence(t *testing.T) {
	now := day0.AddDate(0, 0, 10)
	sequenced := func(n int64) Backup {
		b := made(1, 'c')
		b.Header.Sequence = n
		return b
	}
	for i, test := range []struct {
		backups []Backup
		want    int64
	}{
		{nil, now.Unix()},
		{history("ccc"), now.Unix()},
		{[]Backup{sequenced(now.Unix())}, now.Unix() + 1},
		{[]Backup{sequenced(now.Unix() + 100), sequenced(5)}, now.Unix() + 101},
		{[]Backup{made(20, 'c')}, made(20, 'c').Name.Time.Unix() + 1},
		{[]Backup{made(20, 'f')}, now.Unix()},
		{[]Backup{sequenced(maxSequence)}, maxSequence},
		{[]Backup{sequenced(maxSequence + 1)}, now.Unix()},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if got := NextSequence(test.backups, now); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}
