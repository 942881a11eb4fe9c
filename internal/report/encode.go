// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
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

// Encode returns the report as JSON of at most MaxBytes: see EncodeWithin.
func Encode(r Report) ([]byte, error) { return EncodeWithin(r, MaxBytes) }

// EncodeWithin returns the report as JSON of at most limit bytes. What doesn't fit is left out in the order of its worth:
// the oldest of the listed backups first, then the texts of warnings, then the ends of longer texts, and then figures that
// the next run has as well. What Decode would refuse is repaired first.
func EncodeWithin(r Report, limit int) ([]byte, error) {
	r, err := clone(r)
	if err != nil {
		return nil, err
	}
	r.Version = Version
	r.repair()
	r.Message = shorten(r.Message, maxMessage)
	if r.Sync != nil {
		r.Sync.Message = shorten(r.Sync.Message, maxMessage)
	}
	r.Warnings = shortenWarnings(r.Warnings)
	r.Findings = shortenFindings(r.Findings, maxFinding)
	for {
		b, err := json.Marshal(r)
		if err != nil || len(b) <= limit {
			return b, err
		}
		if !slices.ContainsFunc(cuts, func(cut func(*Report) bool) bool { return cut(&r) }) {
			return nil, fmt.Errorf("the report takes %d bytes and no more than %d fit", len(b), limit)
		}
	}
}

// cuts each take something out of a report, the least worth first. They return false if there is nothing to take.
var cuts = []func(r *Report) bool{
	func(r *Report) bool { return r.Backups != nil && cutLast(&r.Backups.Newest) },
	func(r *Report) bool { return r.Warnings != nil && cutLast(&r.Warnings.First) },
	func(r *Report) bool {
		longest := longestFinding(r.Findings)
		r.Findings = shortenFindings(r.Findings, max(longest/2, maxMessage/8))
		return longest > maxMessage/8
	},
	// JSON escapes can blow a text up sixfold.
	func(r *Report) bool { return halve(&r.Message, maxMessage/8) },
	func(r *Report) bool { return r.Sync != nil && halve(&r.Sync.Message, maxMessage/8) },
	func(r *Report) bool { return cutLast(&r.Findings) },
	func(r *Report) bool {
		had := r.Backups != nil || r.Storage != nil
		r.Backups, r.Storage = nil, nil
		return had
	},
	func(r *Report) bool {
		had := r.Archive != nil && r.Archive.Reuse != nil
		if had {
			r.Archive.Reuse = nil
		}
		return had
	},
	func(r *Report) bool {
		had := !r.StartTime.IsZero() || r.Warnings != nil
		r.StartTime, r.CompletionTime, r.Warnings = time.Time{}, time.Time{}, nil
		return had
	},
	func(r *Report) bool { return halve(&r.Message, maxMessage/32) },
	func(r *Report) bool { return r.Sync != nil && halve(&r.Sync.Message, maxMessage/32) },
}

// cutLast takes the last one out of a list.
func cutLast[T any](list *[]T) bool {
	if len(*list) == 0 {
		return false
	}
	*list = (*list)[:len(*list)-1]
	return true
}

// halve takes half of a text away, unless it is short already.
func halve(text *string, short int) bool {
	if len(*text) <= short {
		return false
	}
	*text = shorten(*text, len(*text)/2)
	return true
}

// clone returns a copy that shares nothing with the report.
func clone(r Report) (Report, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return Report{}, err
	}
	var c Report
	err = json.Unmarshal(b, &c)
	return c, err
}

// Decode reads what Encode wrote. A newer version's report is read as far as its fields are known, because an operator
// that is older than its runners should still tell how they fared. It returns ErrNoReport for anything else, and for a
// report with a value that is not valid.
func Decode(message string) (Report, error) {
	switch {
	case message == "":
		return Report{}, fmt.Errorf("%w: it is empty", ErrNoReport)
	case len(message) > MaxBytes || !utf8.ValidString(message):
		return Report{}, fmt.Errorf("%w: its %d bytes are more than %d, or not UTF-8", ErrNoReport, len(message), MaxBytes)
	}
	var r Report
	if err := json.Unmarshal([]byte(message), &r); err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrNoReport, err)
	}
	if r.Version < 1 {
		return Report{}, fmt.Errorf("%w: it has no version", ErrNoReport)
	}
	if err := r.check(); err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrNoReport, err)
	}
	switch r.Outcome {
	case Succeeded, Incomplete, Failed:
		return r, nil
	default:
		return Report{}, fmt.Errorf("%w: its outcome is %q", ErrNoReport, r.Outcome)
	}
}

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

// shortenWarnings bounds each sentence: a path alone may be 4 KiB long.
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
