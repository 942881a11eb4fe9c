// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"appliance.io/backup-operator/internal/catalog"
)

// examine reads the records of a backup, as catalog.Examine does. One in a directory that doesn't answer counts as damaged.
func (c *chosen) examine(b catalog.Backup) catalog.Backup {
	examined, err := catalog.Within(c.directory, patience*c.answerTimeout, func() (catalog.Backup, error) {
		return catalog.Examine(c.directory, b), nil
	})
	if err != nil {
		b.State, b.Err = catalog.Damaged, err
		return b
	}
	return examined
}

// examineAll examines all of a listing. Backups that are gone meanwhile are left out.
func (c *chosen) examineAll(backups []catalog.Backup) []catalog.Backup {
	examined := make([]catalog.Backup, 0, len(backups))
	for _, b := range backups {
		if b = c.examine(b); !errors.Is(b.Err, os.ErrNotExist) {
			examined = append(examined, b)
		}
	}
	return examined
}

// maxPassedOver is how many of the backups that "latest" passes over are named.
const maxPassedOver = 5

// newest finds the complete backup that was made last and whose records can be read, which is for examine to say. It
// tells note which one that is, and why it isn't one that looks newer. The backups are in the order of catalog.List.
func newest(backups []catalog.Backup, examine func(catalog.Backup) catalog.Backup, note io.Writer) (catalog.Backup, error) {
	if prefixes := prefixesOf(backups); len(prefixes) > 1 {
		return catalog.Backup{}, fmt.Errorf("there are backups of %s: choose one with --prefix", strings.Join(prefixes, ", "))
	}
	at := slices.IndexFunc(backups, func(b catalog.Backup) bool { return b.State == catalog.Complete })
	for at >= 0 && !examine(backups[at]).Good() {
		backups[at].State = catalog.Damaged
		at = slices.IndexFunc(backups, func(b catalog.Backup) bool { return b.State == catalog.Complete })
	}
	notePassedOver(backups, at, examine, note)
	switch {
	case len(backups) == 0:
		return catalog.Backup{}, errors.New("there are no backups")
	case at < 0:
		return catalog.Backup{}, errors.New("there is no complete backup; to use another one, give its name with --backup")
	}
	latest := backups[at]
	fmt.Fprintf(note, "Using %s, the complete backup that was made last.\n", latest.File)
	if latest.Ahead {
		fmt.Fprintln(note, "Its name is a time in the future: the clock was wrong when it was made, or is wrong now.")
	}
	return latest, nil
}

// prefixesOf lists the prefixes of backups, sorted.
func prefixesOf(backups []catalog.Backup) []string {
	var prefixes []string
	for _, b := range backups {
		if b.State != catalog.Foreign {
			prefixes = append(prefixes, b.Name.Prefix)
		}
	}
	slices.Sort(prefixes)
	return slices.Compact(prefixes)
}

// notePassedOver tells of the backups that were made after the chosen one or have a later time in their names, and why
// they aren't chosen.
func notePassedOver(backups []catalog.Backup, chosen int, examine func(catalog.Backup) catalog.Backup, note io.Writer) {
	count := 0
	for i, b := range backups {
		looksNewer := chosen < 0 || i < chosen || b.Name.Time.After(backups[chosen].Name.Time)
		if i == chosen || b.State == catalog.Foreign || !looksNewer {
			continue
		}
		if count++; count > maxPassedOver {
			continue
		}
		b = examine(b)
		why := "it was made earlier, although the time in its name is later"
		switch {
		case b.State != catalog.Complete:
			why = "it is " + strings.ToLower(string(b.State))
		case b.Ahead && b.Header.Sequence == 0:
			why = "the time in its name is in the future, and nothing else says when it was made"
		}
		fmt.Fprintf(note, "Passed over %s: %s. To use it, give --backup %s\n", b.File, why, b.File)
	}
	if more := count - maxPassedOver; more > 0 {
		fmt.Fprintf(note, "Passed over %d more for such reasons.\n", more)
	}
}
