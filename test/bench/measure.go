// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sample is what one run of a command cost.
type sample struct {
	// Seconds is the time until what the command wrote was on the disk.
	Seconds float64 `json:"seconds"`
	// ReturnedSeconds is the time until the command returned.
	ReturnedSeconds float64 `json:"returnedSeconds"`
	// CPUSeconds is the time of all its processes on all cores, in the kernel too.
	CPUSeconds float64 `json:"cpuSeconds"`
	// PeakBytes is the memory of its biggest process.
	PeakBytes int64 `json:"peakBytes"`
}

// measureArgument makes this program measure a command: see measureHere.
const measureArgument = "measure-a-command"

// measure runs a command and says what it cost, with the flushing of the file system that it writes to. This program
// is run once more to do that, and stays small: the kernel counts the memory of whoever starts a process as the
// process's own.
func measure(ctx context.Context, c command, writesTo string) (sample, error) {
	self, err := os.Executable()
	if err != nil {
		return sample{}, err
	}
	unix.Sync() // What came before must not be written in the command's time.
	cmd := exec.CommandContext(ctx, self, append([]string{measureArgument, writesTo}, c.args...)...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	// Should this process be stopped, the command must not go on.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return sample{}, fmt.Errorf("%s: %w\n%s", strings.Join(c.args, " "), err, stderr.String())
	}
	var s sample
	if err := json.Unmarshal(stdout.Bytes(), &s); err != nil {
		return s, fmt.Errorf("what was measured of %s: %w", strings.Join(c.args, " "), err)
	}
	return s, nil
}

// measureHere runs a command, with its output on standard error, and prints the sample.
func measureHere(writesTo string, args []string) error {
	target, err := os.Open(writesTo)
	if err != nil {
		return err
	}
	defer target.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return err
	}
	returned := time.Since(begin)
	if err := unix.Syncfs(int(target.Fd())); err != nil {
		return fmt.Errorf("flush %s: %w", writesTo, err)
	}
	s := sample{Seconds: time.Since(begin).Seconds(), ReturnedSeconds: returned.Seconds()}
	s.CPUSeconds = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.PeakBytes = usage.Maxrss << 10
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}
