// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package tarstream

import (
	"math"
	"math/rand/v2"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
)

// allMagnitudes calls fn for numbers of all lengths in bits, with the greatest and least of each.
func allMagnitudes(fn func(int64)) {
	random := rand.New(rand.NewPCG(1, 2))
	for bits := range 64 {
		for _, v := range []uint64{1 << bits, 1<<bits - 1, 1<<bits + 1, 1<<bits | random.Uint64N(1<<bits)} {
			fn(int64(v))
			fn(-int64(v))
		}
	}
	fn(math.MaxInt64)
	fn(math.MinInt64)
}

// TestEveryTimeThatIsWrittenCanBeRead: files have times that nobody meant, over all 64 bits of seconds.
func TestEveryTimeThatIsWrittenCanBeRead(t *testing.T) {
	allMagnitudes(func(sec int64) {
		for _, nsec := range []int32{0, 1, 10, 499_999_999, 500_000_000, 999_999_999} {
			at := index.Time{Sec: sec, Nsec: nsec}
			text := FormatTime(at)
			if got, err := parseTime(text); err != nil || got != at {
				t.Errorf("%+v is written as %q and read as %+v, %v", at, text, got, err)
			}
		}
	})
}

func TestEveryNumberThatIsWrittenCanBeRead(t *testing.T) {
	allMagnitudes(func(v int64) {
		var field [12]byte
		if PutNumber(field[:], v, 1<<33-1); v >= 0 && v < 1<<33 && field[0] > '7' {
			t.Errorf("%d isn't in octal: %q", v, field)
		}
		if got, err := parseNumber(field[:]); err != nil || got != v {
			t.Errorf("%d is written as %q and read as %d, %v", v, field, got, err)
		}
		small := v & (1<<32 - 1)
		PutNumber(field[:8], small, 1<<21-1)
		if got, err := parseNumber(field[:8]); err != nil || got != small {
			t.Errorf("%d is written as %q and read as %d, %v", small, field[:8], got, err)
		}
	})
}

func TestFormatTime(t *testing.T) {
	tests := map[index.Time]string{
		{Sec: 0, Nsec: 0}:            "0",
		{Sec: 1, Nsec: 500_000_000}:  "1.5",
		{Sec: 1, Nsec: 1}:            "1.000000001",
		{Sec: -1, Nsec: 0}:           "-1",
		{Sec: -2, Nsec: 250_000_000}: "-1.75",
		{Sec: -1, Nsec: 999_999_999}: "-0.000000001",
	}
	for at, want := range tests {
		if got := FormatTime(at); got != want {
			t.Errorf("%v is %q, want %q", at, got, want)
		}
	}
}
