// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// machine says on what was measured, and with which versions.
type machine struct {
	Cores    int      `json:"cores"`
	CPU      string   `json:"cpu"`
	Memory   int64    `json:"memoryBytes"`
	Kernel   string   `json:"kernel"`
	Versions []string `json:"versions"`
}

func describeMachine(ctx context.Context, candidates []candidate) (machine, error) {
	m := machine{Cores: runtime.NumCPU(), CPU: field("/proc/cpuinfo", "model name")}
	kib, _ := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	m.Memory = kib << 10
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return m, err
	}
	m.Kernel = unix.ByteSliceToString(uts.Release[:])
	for _, c := range candidates {
		version, err := c.version(ctx)
		if err != nil {
			return m, fmt.Errorf("%w\n(the packages that are needed are in test/bench/packages.txt; make bench installs them)", err)
		}
		m.Versions = append(m.Versions, version)
	}
	return m, nil
}

func (m machine) String() string {
	return fmt.Sprintf("%d cores (%s), %.0f GiB of memory, Linux %s. %s.",
		m.Cores, m.CPU, gib(m.Memory), m.Kernel, strings.Join(m.Versions, "; "))
}

// field is the first value with a name in a file of such lines; empty if there is none.
func field(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(key) == name {
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
