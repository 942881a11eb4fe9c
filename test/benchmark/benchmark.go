// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package benchmark is what programs share that measure backup-operator: the program itself, and what is known of the
// machine.
package benchmark

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// BuildProgram builds backup-operator as it is released, in a directory that exists, and returns its path.
func BuildProgram(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "backup-operator")
	args := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", program, "appliance.io/backup-operator"}
	build := exec.CommandContext(ctx, "go", args...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build backup-operator: %w", err)
	}
	return program, nil
}

// Processor is the name of the machine's processor; empty if it isn't known.
func Processor() string { return Field("/proc/cpuinfo", "model name") }

// Field is the first value with a name in a file of lines as in proc_pid_status(5); empty if there is none.
func Field(file, name string) string {
	content, _ := os.ReadFile(file)
	for line := range strings.Lines(string(content)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Bytes is a value in kB (which means KiB there) of such a file, in bytes.
func Bytes(file, name string) (int64, error) {
	value := Field(file, name)
	kib, err := strconv.ParseInt(strings.TrimSuffix(value, " kB"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %s is %q, which is no number of kB", file, name, value)
	}
	return kib << 10, nil
}

// WarnIfBusy writes to stderr, on behalf of a program, if the machine has other things to do, as the load of the last minute
// tells.
func WarnIfBusy(program string) {
	content, _ := os.ReadFile("/proc/loadavg")
	minute, _, _ := strings.Cut(string(content), " ")
	if load, _ := strconv.ParseFloat(minute, 64); load > 0.5 {
		fmt.Fprintf(os.Stderr, "%s: this machine is busy (load %.1f): the times are worth little\n", program, load)
	}
}
