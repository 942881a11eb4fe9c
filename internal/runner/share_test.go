// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import "testing"

// TestMoreThanHalfOfTheBackupsAreNeverDamagedByOneAnother: damage is carried on into as many archives as there are runs
// in a round of checks, see archive.TestDamageReachesNoMoreArchivesThanVerifyRuns.
func TestMoreThanHalfOfTheBackupsAreNeverDamagedByOneAnother(t *testing.T) {
	for keep := 1; keep <= 1000; keep++ {
		runs := (&Config{Keep: keep}).verifyRuns()
		if runs < 1 || runs > 28 || keep > 1 && 2*runs > keep {
			t.Errorf("with --keep %d, all is checked within %d runs", keep, runs)
		}
	}
}

func TestVerifyRunsFollowFromKeep(t *testing.T) {
	for _, test := range []struct{ keep, flag, want int }{
		{1, 0, 1}, {2, 0, 1}, {3, 0, 1}, {4, 0, 2}, {5, 0, 2}, {7, 0, 3}, {30, 0, 15}, {56, 0, 28}, {1000, 0, 28},
		{7, 1, 1}, {7, 255, 255},
	} {
		if got := (&Config{Keep: test.keep, VerifyRuns: test.flag}).verifyRuns(); got != test.want {
			t.Errorf("--keep %d --verify-runs %d: %d runs, want %d", test.keep, test.flag, got, test.want)
		}
	}
}
