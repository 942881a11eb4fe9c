// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"testing"
	"time"

	"appliance.io/backup-operator/internal/report"
)

// at does a run when the clock says so.
func (b *bench) at(clock time.Time) report.Report {
	b.t.Helper()
	b.now = clock.AddDate(0, 0, -1)
	return b.succeed()
}

func TestAClockThatWasAheadCostsNoBackup(t *testing.T) {
	b := newBench(t)
	day := func(n int) time.Time { return time.Date(2026, 11, n, 5, 0, 0, 0, time.UTC) }
	b.at(day(2))
	b.at(day(3))
	b.at(time.Date(2031, 1, 30, 5, 0, 0, 0, time.UTC))
	b.holds("2 3 30", "2 3 30")
	r := b.at(day(4))
	if got := r.Archive.Reuse.Previous; got != "app-20310130T050000Z.tar.zst" {
		t.Errorf("the run after it reuses %s", got)
	}
	b.holds("3 30 4", "3 30 4")
	r = b.at(day(5))
	if got := r.Archive.Reuse.Previous; got != "app-20261104T050000Z.tar.zst" {
		t.Errorf("the next run reuses %s", got)
	}
	b.holds("30 4 5", "30 4 5")
	b.at(day(6))
	b.at(day(7))
	b.holds("5 6 7", "5 6 7")
}

func TestAClockThatWasSetBackCostsNoBackup(t *testing.T) {
	b := newBench(t)
	for _, day := range []int{20, 21, 22, 2, 3, 4} {
		b.at(time.Date(2026, 11, day, 5, 0, 0, 0, time.UTC))
	}
	b.holds("2 3 4", "2 3 4")
}

func TestRunsOfOneSecondAreKeptInTheirOrder(t *testing.T) {
	b := newBench(t)
	clock := time.Date(2026, 11, 2, 5, 0, 0, 0, time.UTC)
	var made []string
	for range 5 {
		r := b.at(clock)
		made = append(made, r.Archive.Name)
		for i, kept := range r.Backups.Newest {
			if want := made[len(made)-1-i]; kept.Name != want {
				t.Errorf("at %d there is %s, want %s", i, kept.Name, want)
			}
		}
	}
}
