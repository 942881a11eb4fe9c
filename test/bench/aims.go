// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "math"

// aim is what the project wants of itself, as a ratio to another candidate on the same file system, or in MiB.
type aim struct {
	filesystem string
	text       string
	limit      float64
	measured   func(r *results) (float64, bool)
}

// aims are the project's. They are held against what was measured, and nothing fails if one isn't reached.
var aims = []aim{
	ratioAim("first", first, "tar", 0.95),
	ratioAim("unchanged", unchanged, "tar", 0.03),
	ratioAim("unchanged", unchanged, "restic", 0.15),
	ratioAim("1 % changed", changed, "tar", 0.12),
	ratioAim("1 % changed", changed, "restic", 0.6),
	ratioAim("space of all days", space, "restic", 1.15),
	ratioAim("full restore", restore, "tar", 0.8),
	ratioAim("one small file", one, "restic", 0.5),
	{filesystem: "xfs", text: "most memory, in MiB", limit: 150, measured: func(r *results) (float64, bool) {
		return r.peak("xfs", "ours")
	}},
	{filesystem: "ext4", text: "the worst of all times, of tar's", limit: 1, measured: worstOnExt4},
}

func ratioAim(what string, s step, other string, limit float64) aim {
	measured := func(r *results) (float64, bool) { return r.ratio("xfs", "ours", other, s) }
	return aim{filesystem: "xfs", text: what + ", of " + other + "'s", limit: limit, measured: measured}
}

func worstOnExt4(r *results) (float64, bool) {
	worst, any := math.Inf(-1), false
	for _, s := range timed {
		if ratio, ok := r.ratio("ext4", "ours", "tar", s); ok {
			worst, any = max(worst, ratio), true
		}
	}
	return worst, any
}
