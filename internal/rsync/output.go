// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package rsync

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

// Result is what a transfer did.
type Result struct {
	// BytesSent is how many bytes of files were transferred.
	BytesSent int64
	// BytesMatched is how many of them were found at the other end, and didn't cross.
	BytesMatched int64
	// BytesCrossed is how many bytes crossed the connection, in both directions: content that wasn't found at the other
	// end, checksums to find it, names. Files of a directory of this machine cross from one process to another.
	BytesCrossed int64
	// FilesTransferred is how many files were transferred; files that were there already don't count.
	FilesTransferred int64
}

// Progress is how far a transfer has come.
type Progress struct {
	// Bytes is how many bytes of files were transferred so far.
	Bytes int64
	// Percent is the share of all that was named, 0 to 100. What was there already counts as done.
	Percent int
}

var (
	filesLine    = regexp.MustCompile(`^Number of (?:regular )?files transferred: ([\d,.]+)`)
	bytesLine    = regexp.MustCompile(`^Total transferred file size: ([\d,.]+) bytes`)
	matchedLine  = regexp.MustCompile(`^Matched data: ([\d,.]+) bytes`)
	crossedLine  = regexp.MustCompile(`^Total bytes (?:sent|received): ([\d,.]+)`)
	progressLine = regexp.MustCompile(`^\s*([\d,.]+)\s+(\d{1,3})%\s`)
	versionLine  = regexp.MustCompile(`^rsync\s+version\s+v?(\d+)\.(\d+)\.(\d+)`)
)

// parse takes one line of rsync's standard output. It returns progress if the line tells of it, and puts figures of
// the statistics at the end into the result.
func (r *Result) parse(line string) (Progress, bool) {
	if m := progressLine.FindStringSubmatch(line); m != nil {
		percent, _ := strconv.Atoi(m[2])
		return Progress{Bytes: number(m[1]), Percent: min(percent, 100)}, true
	}
	if m := filesLine.FindStringSubmatch(line); m != nil {
		r.FilesTransferred = number(m[1])
	}
	if m := bytesLine.FindStringSubmatch(line); m != nil {
		r.BytesSent = number(m[1])
	}
	if m := matchedLine.FindStringSubmatch(line); m != nil {
		r.BytesMatched = number(m[1])
	}
	if m := crossedLine.FindStringSubmatch(line); m != nil {
		r.BytesCrossed += number(m[1])
	}
	return Progress{}, false
}

// number reads a number with or without marks between thousands.
func number(s string) int64 {
	n, _ := strconv.ParseInt(strings.NewReplacer(",", "", ".", "").Replace(s), 10, 64)
	return n
}

// canFlush tells from what `rsync --version` prints whether it knows --fsync, which came with 3.2.4.
func canFlush(version string) bool {
	m := versionLine.FindStringSubmatch(version)
	if m == nil {
		return false
	}
	major, minor, patch := number(m[1]), number(m[2]), number(m[3])
	return major > 3 || major == 3 && (minor > 2 || minor == 2 && patch >= 4)
}

// splitLines is a bufio.SplitFunc that ends lines at carriage returns as well, as rsync's progress does.
func splitLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexAny(data, "\r\n"); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// tail keeps the last lines that were written to it.
type tail struct {
	text []byte
}

const (
	tailBytes = 2048
	tailLines = 4
)

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if extra := len(t.text) - 2*tailBytes; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(p), nil
}

// String is the last lines on one line.
func (t *tail) String() string {
	text := strings.ToValidUTF8(string(t.text[max(0, len(t.text)-tailBytes):]), "?")
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Join(lines[max(0, len(lines)-tailLines):], "; ")
}
