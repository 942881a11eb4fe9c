// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestNobodyReadsTheOutputAnyMore is what `backup-operator list | head -n 1` may come to: a write into a pipe that nobody
// reads from. It ends the worker by SIGPIPE, and must end the first process as well.
func TestNobodyReadsTheOutputAnyMore(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, args := range [][]string{{"list", "--help"}, {"help"}} {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		read.Close()
		cmd := exec.CommandContext(ctx, os.Args[0], args...)
		cmd.Args[0] = "backup-operator"
		cmd.Stdout = write
		err = cmd.Run()
		write.Close()
		var exit *exec.ExitError
		if ctx.Err() != nil || !errors.As(err, &exit) {
			t.Fatalf("%q: %v, %v", args, err, ctx.Err())
		}
		status := exit.Sys().(syscall.WaitStatus)
		if status.Signal() != syscall.SIGPIPE && status.ExitStatus() != 128+int(syscall.SIGPIPE) {
			t.Errorf("%q ended with %v", args, err)
		}
	}
}
