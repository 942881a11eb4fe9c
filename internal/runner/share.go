// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import "appliance.io/backup-operator/internal/archive"

// verifyRuns is the number of runs within which everything that is reused is read and checked.
//
// Damage in the newest archive is copied into each later one until a run checks the damaged part, at the latest the
// run that is this number of runs later. That run makes the part anew from its source. So as many archives as this
// number can be damaged, never more. By default it is at most half of those that are kept: the other half is sound.
func (c *Config) verifyRuns() int {
	if c.VerifyRuns > 0 {
		return c.VerifyRuns
	}
	return min(max(c.Keep/2, 1), archive.DefaultVerifyRuns)
}
