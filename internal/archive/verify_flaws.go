// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import "appliance.io/backup-operator/internal/archive/index"

// flawChecker finds entries of which a part could not be read when the archive was made. A further name of such a file
// has nothing in its own entry that says so, but comes after it.
type flawChecker struct{ first map[string]bool }

func (c *flawChecker) isFlawed(e *index.Entry) bool {
	if e.Type == index.HardLink {
		return c.first[e.Link]
	}
	if !e.Is(index.Flawed) {
		return false
	}
	if c.first == nil {
		c.first = map[string]bool{}
	}
	c.first[e.Path] = true
	return true
}
