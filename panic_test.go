// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/report"
)

// mistake panics as a mistake in the program does.
func mistake() int {
	return len(os.Args[:len(os.Args)+cap(os.Args)])
}

func TestAPanicIsAPassingFaultWithAReport(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		file := filepath.Join(t.TempDir(), "report")
		args := []string{
			"backup-operator", "backup", "--policy", "orbit/appliance", "--run=job-1", "--log-format", format, "--termination-log", file,
		}
		var stderr bytes.Buffer
		if status := guard(args, &stderr, mistake); status != report.ExitFailed {
			t.Errorf("exit status %d", status)
		}
		for _, want := range []string{"out of range", ".mistake("} {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("%s: the log has no %q:\n%s", format, want, &stderr)
			}
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := report.Decode(string(content))
		if err != nil {
			t.Fatal(err)
		}
		if r.Outcome != report.Failed || r.Reason != report.ReasonArchiveFailed || r.Policy != "orbit/appliance" || r.Run != "job-1" {
			t.Errorf("reported %+v", r)
		}
		if !strings.Contains(r.Message, "internal error") || !strings.Contains(r.Message, "please report") {
			t.Errorf("it says %q", r.Message)
		}
	}
}

func TestAPanicWithoutAReport(t *testing.T) {
	var stderr bytes.Buffer
	if status := guard([]string{"backup-operator", "list"}, &stderr, mistake); status != report.ExitFailed {
		t.Errorf("exit status %d", status)
	}
	if !strings.Contains(stderr.String(), "out of range") {
		t.Errorf("the log:\n%s", &stderr)
	}
}

func TestWithoutAPanicTheExitStatusIsTheCommands(t *testing.T) {
	if status := guard(nil, io.Discard, func() int { return report.ExitIncomplete }); status != report.ExitIncomplete {
		t.Errorf("exit status %d", status)
	}
}
