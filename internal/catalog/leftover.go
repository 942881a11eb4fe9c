// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"cmp"
	"fmt"
	"os"
	"slices"
)

// Leftover is a prefix that a policy owns and doesn't use any more.
type Leftover struct {
	// Prefix begins the names of the archives.
	Prefix string
	// Count is how many archives have it.
	Count int
}

// Leftovers returns the other prefixes in a directory that belong to a policy and have archives, sorted. A prefix whose
// owner can't be read is nobody's for all one knows.
func Leftovers(dir, prefix, policy string) ([]Leftover, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look for backups with other prefixes in %s: %w", dir, err)
	}
	counts := map[string]int{}
	for _, e := range entries {
		if name, ok := ParseName(e.Name()); ok && name.Prefix != prefix {
			counts[name.Prefix]++
		}
	}
	var left []Leftover
	for prefix, count := range counts {
		if owned, err := readOwner(dir, prefix, policy); err == nil && owned {
			left = append(left, Leftover{prefix, count})
		}
	}
	slices.SortFunc(left, func(a, b Leftover) int { return cmp.Compare(a.Prefix, b.Prefix) })
	return left, nil
}
