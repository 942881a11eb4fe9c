// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"appliance.io/backup-operator/test/benchmark"
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
	m := machine{Cores: runtime.NumCPU(), CPU: benchmark.Processor()}
	var err error
	if m.Memory, err = benchmark.Bytes("/proc/meminfo", "MemTotal"); err != nil {
		return m, err
	}
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
