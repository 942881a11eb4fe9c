// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

// WriteMemory tells about how much memory, in bytes, Write takes at a level: each of Options.Concurrency, and all together
// besides. The figures are peaks as measured, program and all, and then some: a level's tables and a frame's buffers,
// of which each worker has two in hand.
func WriteMemory(level int) (base, each int64) {
	const mib = 1 << 20
	switch {
	case level <= 5:
		return 28 * mib, 14 * mib
	case level <= 9:
		return 28 * mib, 20 * mib
	default:
		return 28 * mib, 72 * mib
	}
}

// ReadMemory tells the same of reading an archive: of Verify, and of what restores.
func ReadMemory() (base, each int64) {
	const mib = 1 << 20
	return 36 * mib, 10 * mib
}
