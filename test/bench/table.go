// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
)

// timed are the steps that take time.
var timed = []step{first, unchanged, changed, restore, one, verify}

// columns are the steps as the tables show them.
var columns = []struct {
	step step
	head string
}{
	{first, "first"}, {unchanged, "unchanged"}, {changed, "1 % changed"}, {restore, "full restore"},
	{one, "one small file"}, {verify, "verify"}, {space, "all days"},
}

// filesystemNames are the names as their makers write them.
var filesystemNames = map[string]string{"xfs": "XFS", "btrfs": "Btrfs", "ext4": "ext4", plain: "a plain directory"}

// printTables prints all tables as Markdown.
func printTables(w io.Writer, p plan, r *results, names map[string]string) {
	fmt.Fprintf(w, "Medians: wall seconds, GiB that the backups of %d days occupy, and the most MiB of memory.\n\n", p.days)
	printMedians(w, p, r, names)
	fmt.Fprint(w, "\nRatios: backup-operator's median divided by the other's on the same file system.\n\n")
	printRatios(w, p, r, names)
	if len(r.sent) > 0 {
		fmt.Fprint(w, "\nThe newest archive synchronized to an rsync server that holds the one of the day before.\n\n")
		printSent(w, p, r, names)
	}
	fmt.Fprint(w, "\nAims.\n\n")
	printAims(w, r)
}

func printMedians(w io.Writer, p plan, r *results, names map[string]string) {
	head := []string{""}
	for _, c := range columns {
		head = append(head, c.head)
	}
	printHead(w, append(head, "peak")...)
	for _, fs := range p.filesystems {
		for _, c := range p.candidates(fs, 0) {
			row := []string{rowName(fs, c, names)}
			for _, column := range columns {
				row = append(row, cell("%.2f")(r.value(fs, c, column.step)))
			}
			printRow(w, append(row, cell("%.0f")(r.peak(fs, c)))...)
		}
	}
}

func printRatios(w io.Writer, p plan, r *results, names map[string]string) {
	head := []string{""}
	for _, c := range columns {
		head = append(head, c.head)
	}
	printHead(w, head...)
	for _, fs := range p.filesystems {
		for _, c := range p.candidates(fs, 0) {
			if c == "ours" {
				continue
			}
			row := []string{fmt.Sprintf("to %s, %s", names[c], filesystemNames[fs])}
			for _, column := range columns {
				row = append(row, cell("%.3f")(r.ratio(fs, "ours", c, column.step)))
			}
			printRow(w, row...)
		}
	}
}

func printSent(w io.Writer, p plan, r *results, names map[string]string) {
	printHead(w, "", "archive MiB", "sent MiB", "share", "seconds")
	for _, fs := range p.filesystems {
		for _, c := range p.candidates(fs, 0) {
			transfers := r.sent[key{fs, c, sent}]
			if len(transfers) == 0 {
				continue
			}
			size := medianOf(transfers, func(t transfer) float64 { return float64(t.ArchiveBytes) / (1 << 20) })
			crossed := medianOf(transfers, func(t transfer) float64 { return float64(t.SentBytes) / (1 << 20) })
			seconds := medianOf(transfers, func(t transfer) float64 { return t.Seconds })
			printRow(w, rowName(fs, c, names), fmt.Sprintf("%.1f", size), fmt.Sprintf("%.1f", crossed),
				fmt.Sprintf("%.3f", crossed/size), fmt.Sprintf("%.1f", seconds))
		}
	}
}

func printAims(w io.Writer, r *results) {
	printHead(w, "", "at most", "measured", "")
	for _, a := range aims {
		measured, ok := a.measured(r)
		verdict := "not measured"
		switch {
		case ok && measured <= a.limit:
			verdict = "reached"
		case ok:
			verdict = "**missed**"
		}
		printRow(w, fmt.Sprintf("%s: %s", filesystemNames[a.filesystem], a.text), fmt.Sprint(a.limit),
			cell("%.3g")(measured, ok), verdict)
	}
}

// cell formats a value that may not be there.
func cell(format string) func(value float64, ok bool) string {
	return func(value float64, ok bool) string {
		if !ok {
			return "–"
		}
		return fmt.Sprintf(format, value)
	}
}

// rowName is what a row begins with. Our own stand out.
func rowName(filesystem, candidate string, names map[string]string) string {
	name := names[candidate]
	if candidate == "ours" {
		name = "**" + name + "**"
	}
	return name + ", " + filesystemNames[filesystem]
}

func printHead(w io.Writer, cells ...string) {
	printRow(w, cells...)
	fmt.Fprintln(w, "|---|"+strings.Repeat("---:|", len(cells)-1))
}

func printRow(w io.Writer, cells ...string) {
	fmt.Fprintln(w, "| "+strings.Join(cells, " | ")+" |")
}
