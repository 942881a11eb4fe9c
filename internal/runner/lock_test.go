// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
)

// logHook is a log that calls a function for each line.
type logHook func(line string)

func (h logHook) Write(p []byte) (int, error) {
	h(string(bytes.TrimSpace(p)))
	return len(p), nil
}

// waitFor does a run that has to wait for another one, and calls a function with what it logs.
func (b *bench) waitFor(ctx context.Context, holder string, logged func(line string, release func())) (report.Report, int) {
	b.t.Helper()
	if err := os.MkdirAll(b.config.Directory, 0o700); err != nil {
		b.t.Fatal(err)
	}
	other, err := catalog.AcquireLock(b.t.Context(), b.config.Directory, "app", catalog.LockRequest{Holder: holder})
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = other.Release() }()
	environment := b.environment()
	environment.Log = slog.New(slog.NewTextHandler(logHook(func(line string) {
		logged(line, func() { _ = other.Release() })
	}), nil))
	return Run(ctx, b.config, environment)
}

// TestARunSaysForWhomItWaited, in its log while it waits and in its report, and succeeds.
func TestARunSaysForWhomItWaited(t *testing.T) {
	b := newBench(t)
	b.config.LockTimeout = time.Hour
	const holder = "policy orbit/appliance, run now-1, host node-1, process 7"
	waits := 0
	r, exit := b.waitFor(t.Context(), holder, func(line string, release func()) {
		if strings.Contains(line, "waiting for another run") && strings.Contains(line, holder) {
			waits++
			release()
		}
	})
	want := fmt.Sprintf("it waited 1s for another run in %s (%s)", b.config.Directory, holder)
	if exit != report.ExitSucceeded || !strings.Contains(r.Message, want) {
		t.Errorf("exit status %d: %s", exit, r.Message)
	}
	if waits != 1 {
		t.Errorf("it was logged %d times", waits)
	}
	if r := b.succeed(); strings.Contains(r.Message, "waited") {
		t.Errorf("a run that did not wait says: %s", r.Message)
	}
}

// TestARunThatWaitedInVainMayBeTriedAgain.
func TestARunThatWaitedInVainMayBeTriedAgain(t *testing.T) {
	b := newBench(t)
	b.config.LockTimeout = 20 * time.Millisecond
	r, exit := b.waitFor(t.Context(), "the other run", func(string, func()) {})
	if exit != report.ExitFailed || r.Reason != report.ReasonLocked || !strings.Contains(r.Message, "the other run") {
		t.Errorf("%s, exit status %d: %s", r.Reason, exit, r.Message)
	}
}

// TestARunThatIsStoppedWhileItWaitsSaysForWhom: so ends one whose deadline comes first.
func TestARunThatIsStoppedWhileItWaitsSaysForWhom(t *testing.T) {
	b := newBench(t)
	b.config.LockTimeout = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, exit := b.waitFor(ctx, "the other run", func(line string, _ func()) {
		if strings.Contains(line, "waiting for another run") {
			cancel()
		}
	})
	if exit != report.ExitFailed || r.Reason != report.ReasonInterrupted || !strings.Contains(r.Message, "the other run") {
		t.Errorf("%s, exit status %d: %s", r.Reason, exit, r.Message)
	}
}
