// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// aim is what the project wants of itself.
type aim struct {
	text  string
	limit float64
	// format is that of the limit and of what was measured.
	format   string
	measured func(r *results) float64
}

// aims are held against what was measured; nothing fails if one isn't reached.
var aims = []aim{
	{"all CronJobs of a backlog stand, of the bare loop's time", 1.2, "%.2f",
		func(r *results) float64 { return r.ofBare(r.backlogFromStart) }},
	{"writes at rest", 0, "%.0f", func(r *results) float64 { return float64(r.atRest.total()) }},
	{"writes after a restart", 0, "%.0f", func(r *results) float64 { return float64(r.afterRestart.total()) }},
	{"seconds until ready after a restart", 10, "%.1f", func(r *results) float64 { return r.ready.Seconds() }},
	{"MiB resident at rest", 150, "%.0f", func(r *results) float64 { return r.memory }},
	{"MiB resident, the most until then", 150, "%.0f", func(r *results) float64 { return r.peak }},
	{"MiB resident, the most after a restart", 150, "%.0f", func(r *results) float64 { return r.peakAfterRestart }},
	{"seconds from the first end of a burst until all statuses are right", 60, "%.1f",
		func(r *results) float64 { return r.told.Seconds() }},
}

// printTables prints what was measured as Markdown.
func printTables(w io.Writer, o options, r *results) {
	printRow(w, "", "at most", "measured", "")
	fmt.Fprintln(w, "|---|---:|---:|---|")
	for _, a := range aims {
		measured, verdict := a.measured(r), "reached"
		if measured > a.limit {
			verdict = "**missed**"
		}
		printRow(w, a.text, fmt.Sprint(a.limit), fmt.Sprintf(a.format, measured), verdict)
	}
	fmt.Fprintln(w)
	printRow(w, "besides", "measured")
	fmt.Fprintln(w, "|---|---:|")
	for _, row := range [][2]string{
		{"workers, the operator's and the bare loop's", fmt.Sprint(r.workers)},
		{fmt.Sprintf("bare loop: %d CronJobs created", o.policies), r.bare.String()},
		{"bare loop: as many applied", r.bareApply.String()},
		{"backlog: from the operator's start until it is ready", seconds(r.firstReady)},
		{"… from then until all CronJobs stand", r.backlog.String()},
		{"… that, of the bare loop's time", fmt.Sprintf("%.2f", r.ofBare(r.backlog))},
		{"… both", r.backlogFromStart.String()},
		{"… from the start until the last write, statuses and events being done", seconds(r.settled)},
		{"… writes", r.firstWrites.String()},
		{"live: policies applied one after the other by as many workers", seconds(r.applied)},
		{"… from the first until all CronJobs stand", seconds(r.live)},
		{"… from the last until all CronJobs stand", seconds(r.live - r.applied)},
		{fmt.Sprintf("at rest for %s: writes", o.rest), r.atRest.String()},
		{"restart: writes", r.afterRestart.String()},
		{"… until all policies have been looked at", seconds(r.caughtUp)},
		{"MiB resident after the restart", fmt.Sprintf("%.0f", r.memoryAfterRestart)},
		{"MiB resident after the burst, and the most until then", fmt.Sprintf("%.0f, %.0f", r.memoryAtEnd, r.peakAtEnd)},
		{fmt.Sprintf("metrics, read every %s: MB, and the slowest", o.scrape),
			fmt.Sprintf("%.1f, %s", float64(r.scrapeBytes)/1e6, seconds(r.scrape))},
		{fmt.Sprintf("burst: %d Jobs and pods ended in", o.burst), seconds(r.ending)},
		{"… writes", r.burstWrites.String()},
	} {
		printRow(w, row[:]...)
	}
}

func (c cost) String() string {
	return fmt.Sprintf("%s, %.1f s of the processors", seconds(c.time), c.processor)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func printRow(w io.Writer, cells ...string) {
	fmt.Fprintln(w, "| "+strings.Join(cells, " | ")+" |")
}
