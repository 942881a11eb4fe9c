// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"math"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"
)

// How entries share frames. Small frames can be fetched and reused alone; big ones compress better, but beyond some
// 256 KiB by less than one in a hundred, while what must be made anew for a file that changed doubles. Borders follow the
// content, so that an entry that comes or goes moves the borders near it and no others: whether a group ends after an
// entry is a matter of that entry's path and size, but for the limits.
const (
	// minGroup is the size of the tar stream that a group has at least, unless something else ends it.
	minGroup = 64 << 10
	// maxGroup is the size from which on no entry is added to a group.
	maxGroup = 512 << 10
	// groupSpread is how much is added beyond minGroup on average, were it not for maxGroup. Groups of small entries
	// come to about 256 KiB.
	groupSpread = 224 << 10
	// smallFile is the size up to which a file's content shares a frame with other entries.
	smallFile = 512 << 10
	// chunkSize is how much of a bigger file's content is in one frame.
	chunkSize = 1 << 20
	// groupDirectories is how many directories the entries of a group may keep open.
	groupDirectories = 128
	// headerEstimate is what an entry's headers are taken to occupy besides a long path: a pax header of one block, and
	// a ustar header.
	headerEstimate = 3 * blockSize
)

// grouping follows the entries of a source, and tells where groups end. What it says depends on the paths and sizes that
// the walk found and on nothing else: not on what could be read, nor on what is reused.
type grouping struct {
	size        int64 // estimate of the group's part of the tar stream
	directories int
	parent      *directory // of the newest entry
}

// add counts an entry and tells whether the group ends after it.
func (g *grouping) add(it *item) bool {
	size := streamSize(it)
	g.size += size
	if it.self != nil || it.parent != g.parent {
		g.directories++
		g.parent = it.parent
	}
	end := isBig(it) || g.size >= maxGroup || g.directories >= groupDirectories ||
		g.size >= minGroup && endsGroup(it.path, size)
	if end {
		*g = grouping{}
	}
	return end
}

// isBig tells whether an item is a file whose content has frames of its own.
func isBig(it *item) bool { return hasContent(it) && it.stat.size > smallFile }

// hasContent tells whether an item is a regular file, and not a further name of one.
func hasContent(it *item) bool { return it.stat.kind() == unix.S_IFREG && it.link == "" }

// streamSize is what an item is taken to occupy in the group that it is in.
func streamSize(it *item) int64 {
	size := headerEstimate + int64(len(it.path))
	if hasContent(it) && !isBig(it) {
		size += it.stat.size + padding(it.stat.size)
	}
	return size
}

// endsGroup tells, by chance as it were, whether a group that is big enough ends after an entry. The chance is as the
// entry's size, so that the average size of groups is the same for all sizes of entries.
func endsGroup(path string, size int64) bool {
	chance := float64(size) / groupSpread
	return float64(xxhash.Sum64String(path)) < chance*math.MaxUint64
}
