// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"regexp"
	"slices"
)

// step is something that is measured.
type step string

const (
	first     step = "first"     // the first backup
	unchanged step = "unchanged" // a second one, with nothing changed in between
	changed   step = "changed"   // one a day after the last, on each of the days
	space     step = "space"     // what the daily backups occupy
	sent      step = "sent"      // what crosses the network when the newest archive is synchronized
	restore   step = "restore"   // the newest backup as a whole
	one       step = "one"       // one small file of it
	verify    step = "verify"    // whether it is good
)

// week is how many daily backups there are unless it is said otherwise: the first one and those after each churn.
const week = 7

// keepAll is more backups than are made, so that no candidate has to remove any.
const keepAll = 1000

// plan says what is measured.
type plan struct {
	filesystems []string
	days        int            // of which there is a backup
	keep        int            // how many backups this project's program keeps
	everywhere  bool           // all candidates on all file systems
	only        *regexp.Regexp // of filesystem/candidate/step; nil for all
}

// measures says whether a step of a candidate is wanted.
func (p plan) measures(filesystem, candidate string, s step) bool {
	// The file system decides what this project's program can do, and not so much what the others can.
	others := candidate != "ours" && candidate != "tar"
	elsewhere := filesystem != p.filesystems[0]
	if others && !p.everywhere && elsewhere {
		return false
	}
	// Only these two make archives that a server can hold an older one of, and they are the same everywhere.
	if s == sent && (others || elsewhere) {
		return false
	}
	return p.only == nil || p.only.MatchString(filesystem+"/"+candidate+"/"+string(s))
}

// runs says whether a step has to be done, because it is wanted or for the sake of one that is.
func (p plan) runs(filesystem, candidate string, s step) bool {
	neededBy := map[step][]step{
		first:     {unchanged, changed, space, sent, restore, one, verify},
		unchanged: {},
		changed:   {space, sent},
	}
	return p.measures(filesystem, candidate, s) || slices.ContainsFunc(neededBy[s], func(s step) bool {
		return p.measures(filesystem, candidate, s)
	})
}

// candidates are those of which anything is wanted, in the order of a run: each run begins with another one.
func (p plan) candidates(filesystem string, run int) []string {
	var wanted []string
	for _, c := range candidates {
		if p.runs(filesystem, c, first) {
			wanted = append(wanted, c)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	begin := run % len(wanted)
	return slices.Concat(wanted[begin:], wanted[:begin])
}

// all are all candidates of which anything is wanted anywhere.
func (p plan) all() []string {
	var wanted []string
	for _, c := range candidates {
		if slices.ContainsFunc(p.filesystems, func(fs string) bool { return p.runs(fs, c, first) }) {
			wanted = append(wanted, c)
		}
	}
	return wanted
}
