// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"fmt"
	"log/slog"
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

// warningLog logs warnings and keeps the first few in words. Those that make an archive incomplete are kept apart: a
// source in use has any number of files that change while they are read, and the one that couldn't be read must not be
// lost among them.
type warningLog struct {
	log             *slog.Logger
	missing, others warningList
}

// warningList are warnings of one worth.
type warningList struct {
	count int
	first []string
}

func (w *warningLog) add(warning archive.Warning) {
	list, most := &w.others, maxOthersLogged
	if makesIncomplete(warning.Kind) {
		list, most = &w.missing, maxMissingLogged
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
	if more := w.others.count - maxOthersLogged; more > 0 {
		w.log.Warn("there are more warnings, of which none makes the archive incomplete, than are logged", "more", more)
	}
}

// first returns the first few warnings in words, those that make the archive incomplete before all others.
func (w *warningLog) first() []string {
	all := append(w.missing.first[:len(w.missing.first):len(w.missing.first)], w.others.first...)
	return all[:min(len(all), maxWarningsReported)]
}

// makesIncomplete reports whether an archive with such a warning lacks something that should be in it.
func makesIncomplete(kind archive.WarningKind) bool {
	return kind == archive.Unreadable || kind == archive.Shrank || kind == archive.Emptied
}

// describeWarning is a warning as a sentence. Names in it may be any bytes; what is reported is text.
func describeWarning(w archive.Warning) string {
	text := fmt.Sprintf("%s/%s: %s", w.Source, w.Path, strings.ToLower(string(w.Kind)))
	if w.Err != "" {
		text += " (" + w.Err + ")"
	}
	return strings.ToValidUTF8(text, "?")
}
