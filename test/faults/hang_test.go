// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/report"
)

// tooLong is when a command that should have given up counts as hung.
const tooLong = time.Minute

// everything hangs, whatever the request.
func everything(string) bool { return true }

// hangBench is a bench one of whose directories is on a file system that can hang.
func hangBench(t *testing.T, choose func(*bench) *string) (*bench, *hanging) {
	t.Helper()
	b := newBench(t)
	b.extra = []string{"--answer-timeout", "300ms", "--sync-timeout", "1s", "--verify-runs", "1"}
	b.fill(3, 100_000)
	dir := choose(b)
	below := *dir + ".below"
	b.must(os.MkdirAll(below, 0o700))
	b.must(os.MkdirAll(*dir, 0o700))
	entries, err := os.ReadDir(*dir)
	b.must(err)
	for _, e := range entries {
		b.must(os.Rename(filepath.Join(*dir, e.Name()), filepath.Join(below, e.Name())))
	}
	return b, b.mountHanging(*dir, below)
}

// finish waits for the end of a command, which must come soon.
func (b *bench) finish(cmd *exec.Cmd) (status int, out string) {
	b.t.Helper()
	// A file, because a process that is left behind holds its output open.
	file, err := os.Create(filepath.Join(b.t.TempDir(), "output"))
	b.must(err)
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	b.must(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(b.t.Context(), tooLong)
	defer cancel()
	var waited error
	select {
	case waited = <-ended:
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		b.t.Error("it doesn't end")
	}
	content, readErr := os.ReadFile(file.Name())
	b.must(readErr)
	return exitStatus(waited), string(content)
}

// TestAMirrorThatHangsDoesNotPreventTheArchive, whatever it is that it doesn't answer any more, and from whatever time on.
func TestAMirrorThatHangsDoesNotPreventTheArchive(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for name, hangs := range map[string]func(string) bool{
		"everything": everything,
		"statfs":     only("statfs"), "opendir": only("opendir"), "open": only("open"), "create": only("create"),
		"read": only("read"), "write": only("write"), "rename": only("rename"), "unlink": only("unlink"), "lock": only("lock"),
		"fsync": only("fsync"), "close": only("close"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, mirror := hangBench(t, func(b *bench) *string { return &b.mirror })
			b.run(0)
			mirror.hang(hangs)
			b.must(os.Remove(b.reportFile))
			status, out := b.finish(b.command())
			if status != report.ExitFailed {
				t.Fatalf("exit status %d\n%s", status, out)
			}
			r := b.report()
			if r.Reason != report.ReasonSyncFailed || r.Archive == nil || !strings.Contains(r.Message, b.mirror) {
				t.Errorf("%s: %s", r.Reason, r.Message)
			}
			if got := len(b.good(b.backups)); got != 2 {
				t.Errorf("the backup directory holds %d archives", got)
			}
		})
	}
}

func only(request string) func(string) bool { return func(r string) bool { return r == request } }

// TestABackupDirectoryThatHangsEndsTheRunWithItsReport.
func TestABackupDirectoryThatHangsEndsTheRunWithItsReport(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for name, hangs := range map[string]func(string) bool{
		"everything": everything, "open": only("open"), "write": only("write"), "lock": only("lock"), "fsync": only("fsync"),
		"create": only("create"), "opendir": only("opendir"), "statfs": only("statfs"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, directory := hangBench(t, func(b *bench) *string { return &b.backups })
			b.mirror = ""
			directory.hang(hangs)
			status, out := b.finish(b.command())
			if status != report.ExitFailed {
				t.Fatalf("exit status %d\n%s", status, out)
			}
			if r := b.report(); r.Outcome != report.Failed || !strings.Contains(r.Message, b.backups) {
				t.Errorf("%s: %s", r.Reason, r.Message)
			}
		})
	}
}

// TestASourceThatHangsEndsTheRunWithItsReport.
func TestASourceThatHangsEndsTheRunWithItsReport(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	b, source := hangBench(t, func(b *bench) *string { return &b.source })
	b.mirror = ""
	source.hang(everything)
	status, out := b.finish(b.command())
	if r := b.report(); status != report.ExitFailed || r.Reason != report.ReasonSourceMissing || !strings.Contains(r.Message, b.source) {
		t.Errorf("exit status %d, %s: %s\n%s", status, r.Reason, r.Message, out)
	}
}

// TestARunThatHangsEndsWhenItIsToldTo, with its report.
func TestARunThatHangsEndsWhenItIsToldTo(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	b, directory := hangBench(t, func(b *bench) *string { return &b.backups })
	b.mirror = ""
	b.extra = []string{"--answer-timeout", "1s"}
	directory.hang(only("write"))
	cmd := b.command()
	go func() {
		<-directory.hung
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}()
	status, out := b.finish(cmd)
	if r := b.report(); status != report.ExitFailed || r.Reason != report.ReasonInterrupted || !strings.Contains(r.Message, b.backups) {
		t.Errorf("exit status %d, %s: %s\n%s", status, r.Reason, r.Message, out)
	}
}

// TestCommandsGiveUpOnADirectoryThatHangs and name it.
func TestCommandsGiveUpOnADirectoryThatHangs(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for name, hangs := range map[string]func(string) bool{
		"everything": everything, "open": only("open"), "read": only("read"), "opendir": only("opendir"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, directory := hangBench(t, func(b *bench) *string { return &b.backups })
			b.mirror = ""
			b.run(0)
			directory.hang(hangs)
			for _, command := range [][]string{
				{"list"}, {"list", "--long", "latest"}, {"verify"}, {"verify", "--backup", "all"},
				{"restore", "--target", filepath.Join(t.TempDir(), "restored")},
			} {
				args := append(command, "--directory", b.backups, "--answer-timeout", "300ms")
				status, out := b.finish(exec.Command(program, args...))
				if status != report.ExitFailed || !strings.Contains(out, b.backups) || !strings.Contains(out, "has not answered") {
					t.Errorf("%q: exit status %d\n%s", command, status, out)
				}
			}
		})
	}
}
