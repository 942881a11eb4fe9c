// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// describeMachine says on what was measured.
func describeMachine() string {
	return fmt.Sprintf("%d cores (%s), which the API server, etcd and the operator share.",
		runtime.NumCPU(), field("/proc/cpuinfo", "model name"))
}

// field is the first value with a name in a file of such lines; empty if there is none.
func field(file, name string) string {
	content, _ := os.ReadFile(file)
	for line := range strings.Lines(string(content)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// load is how many processes wanted to run on average in the last minute.
func load() float64 {
	content, _ := os.ReadFile("/proc/loadavg")
	minute, _, _ := strings.Cut(string(content), " ")
	value, _ := strconv.ParseFloat(minute, 64)
	return value
}
