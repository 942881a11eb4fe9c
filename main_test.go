// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"backup-operator": main})
}

// TestScripts runs the scripts of test/cli: each is a session at a shell with what it must print.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("test", "cli"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits STATUS PROGRAM ARGUMENTS... runs a program, which must end with that exit status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM [ARGUMENT...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func TestShortAge(t *testing.T) {
	for age, want := range map[time.Duration]string{
		-time.Second: "in the future", 0: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 119 * time.Minute: "119m",
		26*time.Hour + 5*time.Minute: "26h5m", 48 * time.Hour: "2d", 1000 * time.Hour: "41d",
	} {
		if got := shortAge(age); got != want {
			t.Errorf("%s: %q, want %q", age, got, want)
		}
	}
}

func TestValueOf(t *testing.T) {
	for _, args := range [][]string{
		{"backup", "--nonsense", "--termination-log", "/x"},
		{"backup", "--termination-log=/x", "--keep=many"},
	} {
		if got := valueOf(args, "--termination-log"); got != "/x" {
			t.Errorf("%q: %q", args, got)
		}
	}
	if got := valueOf([]string{"--termination-log"}, "--termination-log"); got != "" {
		t.Errorf("%q", got)
	}
}
