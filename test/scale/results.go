// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "time"

// results are all that was measured.
type results struct {
	// workers is how many policies the operator works on at a time.
	workers int
	// bare is what the bare loop took that creates CronJobs, bareApply the one that applies them.
	bare, bareApply cost
	// backlog is from the operator's readiness until the last CronJob stood, all policies having been there;
	// backlogFromStart is from its start, and firstReady from its start until its readiness.
	backlog, backlogFromStart cost
	firstReady                time.Duration
	// settled is from the operator's start until its last write.
	settled time.Duration
	// applied is how long it took to apply the policies while the operator worked; live is from the first of them until the
	// last CronJob stood.
	applied, live time.Duration
	firstWrites   writes
	lastWrite     time.Time
	// atRest is what was written while nothing happened; afterRestart after the operator was started anew.
	atRest, afterRestart writes
	// ready is from the start anew until readiness, caughtUp until all policies had been looked at.
	ready, caughtUp time.Duration
	// memory in MiB: at the end of the rest, and the most of the process until then; the same after the restart, and at the
	// end of all.
	memory, peak, memoryAfterRestart, peakAfterRestart, memoryAtEnd, peakAtEnd float64
	// scrape is the longest that reading the metrics took, scrapeBytes how much that is.
	scrape      time.Duration
	scrapeBytes int
	// ending is how long it took to end the Jobs, told from the first end until the last status was right.
	ending, told time.Duration
	// burstWrites is what the burst took.
	burstWrites writes
}

// ofBare is how many times as long something took as the bare loop that creates CronJobs.
func (r *results) ofBare(c cost) float64 { return c.time.Seconds() / r.bare.time.Seconds() }
