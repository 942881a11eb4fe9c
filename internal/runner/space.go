// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"fmt"

	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
)

// slack is what a backup takes besides its files: directory entries, blocks that are filled in part.
const slack = 128 << 10

// checkSpace returns a fault if a file system has less space than is needed. What is for a person to know: which, how
// much is needed and how much is there.
func checkSpace(flag, dir string, space catalog.Space, need int64) error {
	need += slack
	if space.Free >= need {
		return nil
	}
	return &fault{reason: report.ReasonNotEnoughSpace, err: fmt.Errorf(
		"%s %s has not enough space: %s needed, %s free: free some space, make the volume bigger, or keep fewer backups "+
			"(the surplus is only removed after a successful run, so remove some by hand now: %s)",
		flag, dir, humanBytes(need), humanBytes(space.Free), report.VolumeShell)}
}

// freeSpace is what to do where a file system is full.
const freeSpace = "free some space (" + report.VolumeShell + ")"

// humanBytes is a number of bytes for people, and the exact one beside it.
func humanBytes(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%s (%d bytes)", report.ShortBytes(n), n)
}
