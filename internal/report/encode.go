// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// MaxBytes is the most that the kubelet takes of a container's termination message, from
// https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/.
const MaxBytes = 4096

// maxMessage bounds the two free texts of a report, so that they can never crowd out the figures.
const maxMessage = 1024

// maxFindings bounds how many findings a report holds, and maxFinding the text of each.
const (
	maxFindings = 8
	maxFinding  = maxMessage / 2
)

// ErrNoReport is returned by Decode for a message that is no report: a container that was killed leaves an empty one,
// and one that never ran the runner leaves somebody else's words.
var ErrNoReport = errors.New("not a report")

// Encode returns the report as JSON of at most MaxBytes. What doesn't fit is left out in the order of its worth: the
// oldest of the listed backups first, then the texts of warnings, then the ends of longer texts. Counts are never touched.
func Encode(r Report) ([]byte, error) {
	r.Version = Version
	r.Message = shorten(r.Message, maxMessage)
	if r.Sync != nil {
		sync := *r.Sync
		sync.Message = shorten(sync.Message, maxMessage)
		r.Sync = &sync
	}
	r.Warnings = shortenWarnings(r.Warnings)
	r.Findings = shortenFindings(r.Findings, maxFinding)
	if r.Backups != nil {
		backups := *r.Backups
		r.Backups = &backups
	}
	for {
		b, err := json.Marshal(r)
		if err != nil || len(b) <= MaxBytes {
			return b, err
		}
		switch {
		case r.Backups != nil && len(r.Backups.Newest) > 0:
			r.Backups.Newest = r.Backups.Newest[:len(r.Backups.Newest)-1]
		case r.Warnings != nil && len(r.Warnings.First) > 0:
			r.Warnings.First = r.Warnings.First[:len(r.Warnings.First)-1]
		case longestFinding(r.Findings) > maxMessage/8:
			r.Findings = shortenFindings(r.Findings, longestFinding(r.Findings)/2)
		case len(r.Message) > maxMessage/8:
			// JSON escapes can blow a text up sixfold.
			r.Message = shorten(r.Message, len(r.Message)/2)
		case r.Sync != nil && len(r.Sync.Message) > maxMessage/8:
			r.Sync.Message = shorten(r.Sync.Message, len(r.Sync.Message)/2)
		case len(r.Findings) > 0:
			r.Findings = r.Findings[:len(r.Findings)-1]
		default:
			return nil, fmt.Errorf("the report takes %d bytes and no more than %d fit", len(b), MaxBytes)
		}
	}
}

// Decode reads what Encode wrote. A newer version's report is read as far as its fields are known, because an operator
// that is older than its runners should still tell how they fared. It returns ErrNoReport for anything else.
func Decode(message string) (Report, error) {
	var r Report
	if err := json.Unmarshal([]byte(message), &r); err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrNoReport, err)
	}
	if r.Version < 1 {
		return Report{}, fmt.Errorf("%w: it has no version", ErrNoReport)
	}
	switch r.Outcome {
	case Succeeded, Incomplete, Failed:
		return r, nil
	default:
		return Report{}, fmt.Errorf("%w: its outcome is %q", ErrNoReport, r.Outcome)
	}
}

// shortenWarnings bounds each sentence: a path alone may be 4 KiB long.
// shortenFindings returns the first findings, each with at most limit bytes of its message.
func shortenFindings(findings []Finding, limit int) []Finding {
	out := slices.Clone(findings[:min(len(findings), maxFindings)])
	for i := range out {
		out[i].Message = shorten(out[i].Message, limit)
	}
	return out
}

// longestFinding is the length of the longest message, in bytes; 0 if there is none.
func longestFinding(findings []Finding) int {
	longest := 0
	for _, f := range findings {
		longest = max(longest, len(f.Message))
	}
	return longest
}

func shortenWarnings(w *Warnings) *Warnings {
	if w == nil {
		return nil
	}
	out := &Warnings{Count: w.Count, First: make([]string, 0, len(w.First))}
	for _, s := range w.First {
		out.First = append(out.First, shorten(s, maxMessage/4))
	}
	return out
}

// shorten cuts s to at most limit bytes, between runes, and shows that it did.
func shorten(s string, limit int) string {
	const ellipsis = "…"
	if len(s) <= limit {
		return s
	}
	cut := max(limit-len(ellipsis), 0)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + ellipsis
}
