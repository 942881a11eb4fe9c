// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"appliance.io/backup-operator/internal/report"
)

// damages is how often the newest archive is damaged before the next run reuses it.
const damages = 40

// TestDamageIsNotCarriedOn flips single bits of the archive that the next run reuses, or cuts its end off. With all of
// it checked in each run, none of it may get into the next archive, and the run may not fail either.
func TestDamageIsNotCarriedOn(t *testing.T) {
	b := newBench(t)
	b.mirror = ""
	b.extra = []string{"--verify-runs", "1"}
	b.fill(filesInTree, fileSize)
	rng := newRandom(t)
	newest := b.run(0).Archive.Name
	found := 0
	for i := range damages {
		b.change(rng, filesInTree)
		path := filepath.Join(b.backups, newest)
		b.damage(rng, path, i%8 == 7)
		r := b.run(0)
		if r.Outcome != report.Succeeded {
			t.Fatalf("%s: %s", r.Outcome, r.Message)
		}
		found += int(min(r.Archive.Reuse.DamagedFrames, 1))
		newest = r.Archive.Name
		// The damaged one is not ours to judge any more: only the newest is to be good.
		if _, err := os.Stat(path); err == nil {
			b.must(os.Remove(path))
			b.must(os.Remove(path + ".sha256"))
		}
		if good := b.good(b.backups); len(good) == 0 || good[len(good)-1] != newest {
			t.Fatalf("%s isn't among the good ones: %q", newest, good)
		}
		b.holdsTheSource(newest)
	}
	t.Logf("%d of %d runs reported that the archive before was damaged", found, damages)
	if found < damages/5 {
		t.Error("too little damage was in what is reused: this tested nothing")
	}
}

// damage flips a bit of a file, or cuts a part of its end off.
func (b *bench) damage(rng *rand.Rand, path string, cut bool) {
	b.t.Helper()
	fi, err := os.Stat(path)
	b.must(err)
	if cut {
		b.must(os.Truncate(path, rng.Int64N(fi.Size())))
		return
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	b.must(err)
	var bit [1]byte
	offset := rng.Int64N(fi.Size())
	_, err = f.ReadAt(bit[:], offset)
	b.must(err)
	bit[0] ^= 1 << rng.IntN(8)
	_, err = f.WriteAt(bit[:], offset)
	b.must(err)
	b.must(f.Close())
}
