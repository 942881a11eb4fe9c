// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cost is what something took.
type cost struct {
	// time is by the clock.
	time time.Duration
	// processor is the time of the processors, in seconds, that this program, the API server, etcd and the operator took
	// together. It says what the work comes to where other programs make the clock's time worth little.
	processor float64
}

// stopwatch begins to measure and returns a function that tells the cost since then.
func stopwatch() (func() (cost, error), error) {
	began := time.Now()
	before, err := processorSeconds()
	return func() (cost, error) {
		took := time.Since(began)
		after, err := processorSeconds()
		return cost{took, after - before}, err
	}, err
}

// processorSeconds is the time that this process and its present children have had.
func processorSeconds() (float64, error) {
	self := os.Getpid()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil { // It has ended meanwhile.
			continue
		}
		// The name, in parentheses, may have anything in it: proc_pid_stat(5).
		pid, _, _ := strings.Cut(string(content), " ")
		fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
		const parent, user, system, ticksPerSecond = 1, 11, 12, 100
		if pid != strconv.Itoa(self) && fields[parent] != strconv.Itoa(self) {
			continue
		}
		for _, i := range []int{user, system} {
			ticks, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", file, err)
			}
			sum += ticks / ticksPerSecond
		}
	}
	return sum, nil
}
