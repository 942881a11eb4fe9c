// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

// headroom is how much of a limit, in bytes, is left for what Go's runtime doesn't account: the program itself, the
// kernel's own memory, child processes.
const headroom = 16 << 20

// GoMemory returns how much of a limit Go's runtime should use, in bytes, as for debug.SetMemoryLimit: an eighth less, but
// at least 16 MiB less, and for very low limits a quarter.
func GoMemory(limit int64) int64 {
	if limit == NoLimit {
		return NoLimit
	}
	return limit - min(max(limit/8, headroom), limit/4)
}

// Workers returns how many workers fit into memory, of which each takes so much and all together besides base: at least
// 1, and at most most.
func Workers(memory, base, each int64, most int) int {
	return int(max(1, min((memory-base)/each, int64(most))))
}
