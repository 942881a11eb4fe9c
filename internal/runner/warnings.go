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
	// maxWarningsLogged keeps a tree of unreadable files from filling the log.
	maxWarningsLogged = 200
)

// warningLog logs warnings and keeps the first few in words.
type warningLog struct {
	log   *slog.Logger
	count int
	first []string
}

func (w *warningLog) add(warning archive.Warning) {
	w.count++
	if warning.Kind != archive.Skipped && len(w.first) < maxWarningsReported {
		w.first = append(w.first, describeWarning(warning))
	}
	switch {
	case w.count <= maxWarningsLogged:
		w.log.Warn("archiving", "file", warning.Source+"/"+warning.Path, "warning", warning.Kind, "error", warning.Err)
	case w.count == maxWarningsLogged+1:
		w.log.Warn("there are more warnings like these: they are counted and no longer logged")
	}
}

// describeWarning is a warning as a sentence. Names in it may be any bytes; what is reported is text.
func describeWarning(w archive.Warning) string {
	text := fmt.Sprintf("%s/%s: %s", w.Source, w.Path, strings.ToLower(string(w.Kind)))
	if w.Err != "" {
		text += " (" + w.Err + ")"
	}
	return strings.ToValidUTF8(text, "?")
}
