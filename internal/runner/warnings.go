// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"appliance.io/backup-operator/internal/archive"
)

const (
	// maxWarningsReported is how many warnings a report has in words.
	maxWarningsReported = 10
	// maxMissingLogged and maxOthersLogged keep a tree of unreadable, or of busy, files from filling the log.
	maxMissingLogged = 1000
	maxOthersLogged  = 200
)

// warningLog logs warnings and keeps the first few in words. Those that make an archive incomplete, and those of damage
// in an earlier one, are kept apart: a source in use has any number of files that change while they are read, and the one
// that couldn't be read must not be lost among them.
type warningLog struct {
	log                      *slog.Logger
	missing, damaged, others warningList
}

// warningList are warnings of one worth.
type warningList struct {
	count int
	first []string
}

func (w *warningLog) add(warning archive.Warning) {
	if isOfEarlier(warning.Kind) && warning.Source == "" {
		// The archive is made once more, without the earlier one, and all else will be told once more.
		*w = warningLog{log: w.log}
	}
	list, most := &w.others, maxOthersLogged
	switch {
	case makesIncomplete(warning.Kind):
		list, most = &w.missing, maxMissingLogged
	case warning.Kind == archive.Damaged:
		list = &w.damaged
	}
	list.count++
	if warning.Kind != archive.Skipped && len(list.first) < maxWarningsReported {
		list.first = append(list.first, describeWarning(warning))
	}
	if list.count <= most {
		w.log.Warn("archiving", "file", warning.Source+"/"+warning.Path, "warning", warning.Kind, "error", warning.Err)
	}
}

// end logs how many warnings were not logged.
func (w *warningLog) end() {
	if more := w.missing.count - maxMissingLogged; more > 0 {
		w.log.Warn("more files could not be read in full than are logged", "more", more)
	}
	if more := w.damaged.count - maxOthersLogged; more > 0 {
		w.log.Warn("more parts of the earlier archive are damaged than are logged", "more", more)
	}
	if more := w.others.count - maxOthersLogged; more > 0 {
		w.log.Warn("there are more warnings, of which none makes the archive incomplete, than are logged", "more", more)
	}
}

// first returns the first few warnings in words: those that make the archive incomplete, then those of damage, then all
// others.
func (w *warningLog) first() []string {
	all := slices.Concat(w.missing.first, w.damaged.first, w.others.first)
	return all[:min(len(all), maxWarningsReported)]
}

// makesIncomplete reports whether an archive with such a warning lacks something that should be in it.
func makesIncomplete(kind archive.WarningKind) bool {
	return kind == archive.Unreadable || kind == archive.Shrank || kind == archive.Emptied
}

// isOfEarlier reports whether a warning is about the earlier archive.
func isOfEarlier(kind archive.WarningKind) bool {
	return kind == archive.Damaged || kind == archive.NotReused
}

// describeWarning is a warning as a sentence. Names in it may be any bytes; what is reported is text.
func describeWarning(w archive.Warning) string {
	subject := w.Source + "/" + w.Path
	if isOfEarlier(w.Kind) {
		subject = "the archive before"
	}
	text := fmt.Sprintf("%s: %s", subject, strings.ToLower(string(w.Kind)))
	if w.Err != "" {
		text += " (" + w.Err + ")"
	}
	return strings.ToValidUTF8(text, "?")
}
