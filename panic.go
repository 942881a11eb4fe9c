// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"appliance.io/backup-operator/internal/report"
)

// guard does the work of the program and returns its exit status. A panic in it ends as a passing fault that is told of
// like any other: Go's own exit status for one, 2, would say that the settings are wrong and a retry can't help.
//
// It sees panics of the goroutine that does the work. One in another goroutine still ends the program at once.
func guard(args []string, stderr io.Writer, do func() int) (status int) {
	began := time.Now()
	defer func() {
		if p := recover(); p != nil {
			reportPanic(args, stderr, began, p, debug.Stack())
			status = report.ExitFailed
		}
	}()
	return do()
}

// reportPanic logs a panic with its stack and leaves the report of it, if the arguments ask for one.
func reportPanic(args []string, stderr io.Writer, began time.Time, p any, stack []byte) {
	log, err := newLogger(stderr, valueOf(args, "--log-format"))
	if err != nil {
		log, _ = newLogger(stderr, "text")
	}
	log.Error("internal error: please report it", "panic", fmt.Sprint(p), "stack", string(stack))
	err = writeReport(valueOf(args, "--termination-log"), report.Report{
		Policy: valueOf(args, "--policy"), Run: valueOf(args, "--run"),
		StartTime: began.UTC().Truncate(time.Second), CompletionTime: time.Now().UTC().Truncate(time.Second),
		Outcome: report.Failed, Reason: report.ReasonArchiveFailed,
		Message: fmt.Sprintf("internal error: %v: this is a mistake in the program: please report it, with the run's log", p),
	})
	if err != nil {
		log.Error("the report could not be written", "error", err)
	}
}
