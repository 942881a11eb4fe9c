// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package rsync

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Grace is how long rsync is given to clean up after itself when it is told to stop, before it is killed.
const Grace = 5 * time.Second

// Command is an rsync that can be run.
type Command struct {
	// Path is the program's file.
	Path string
	// CanFlush says that it knows --fsync.
	CanFlush bool
}

// Find looks for rsync on the PATH and asks it for its version. It returns ErrNotInstalled if there is none.
func Find(ctx context.Context) (Command, error) {
	path, err := exec.LookPath("rsync")
	if err != nil {
		return Command{}, ErrNotInstalled
	}
	version, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return Command{}, fmt.Errorf("ask %s for its version: %w", path, err)
	}
	return Command{Path: path, CanFlush: canFlush(string(version))}, nil
}

// Hooks are what a caller may want of a running transfer besides its end.
type Hooks struct {
	// Progress, when set, is called when rsync tells how far it is. It must return quickly.
	Progress func(Progress)
	// Inherit is an open file that rsync inherits, such as one with a lock: as long as any process of a transfer lives,
	// even one that survived its parent's death for a moment, the lock is held. May be nil.
	Inherit *os.File
}

// Run runs a transfer. Flushing is left out if this rsync can't. When ctx is done, rsync and all its children are told
// to stop, killed if they don't within Grace, and the error wraps the context's cause. Otherwise it is an *Error.
func (c Command) Run(ctx context.Context, o Options, hooks Hooks) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	o.Flush = o.Flush && c.CanFlush
	cmd := exec.Command(c.Path, o.Arguments()...) //nolint:noctx // stopWith stops the whole group, a context only one process.
	cmd.Stdin = strings.NewReader(o.input())
	// rsync's output is parsed: it must not depend on the user's language or settings.
	cmd.Env = append(withoutRsync(os.Environ()), "LC_ALL=C")
	var stderr tail
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return Result{}, fmt.Errorf("run rsync: %w", err)
	}
	if hooks.Inherit != nil {
		cmd.ExtraFiles = []*os.File{hooks.Inherit}
	}
	family, err := newFamily(cmd)
	if err != nil {
		return Result{}, fmt.Errorf("run rsync: %w", err)
	}
	defer family.close()
	// A group of its own, so that all its processes can be signalled at once. Should this process be killed, the
	// kernel kills rsync: it must not go on writing for nobody. That is bound to the thread that starts it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := ctx.Err(); err != nil {
		return Result{}, fmt.Errorf("rsync: %w", context.Cause(ctx))
	}
	if err := cmd.Start(); err != nil {
		return Result{}, explain(err, "")
	}
	family.started()
	stopped := stopWith(ctx, cmd.Process.Pid)
	result := read(stdout, hooks.Progress)
	err = cmd.Wait()
	family.wait()
	if stopped() && err != nil {
		return result, fmt.Errorf("rsync was stopped: %w", context.Cause(ctx))
	}
	return result, explain(err, stderr.String())
}

// stopWith stops a process group when ctx is done. The function that it returns ends the watch and reports whether the
// group was stopped.
func stopWith(ctx context.Context, pid int) func() bool {
	var kill *time.Timer
	done := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = syscall.Kill(-pid, syscall.SIGTERM)
		kill = time.AfterFunc(Grace, func() { _ = syscall.Kill(-pid, syscall.SIGKILL) })
	})
	return func() bool {
		if release() {
			return false
		}
		<-done
		kill.Stop()
		return true
	}
}

// read takes rsync's output to its end.
func read(stdout io.Reader, progress func(Progress)) Result {
	var r Result
	lines := bufio.NewScanner(stdout)
	lines.Split(splitLines)
	for lines.Scan() {
		if p, ok := r.parse(lines.Text()); ok && progress != nil {
			progress(p)
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		_, _ = io.Copy(io.Discard, stdout) // So that rsync doesn't wait for a reader for ever.
	}
	return r
}

// withoutRsync drops the variables with which a user can change what rsync does by default.
func withoutRsync(env []string) []string {
	var out []string
	for _, e := range env {
		if !strings.HasPrefix(e, "RSYNC_") && !strings.HasPrefix(e, "POPT") {
			out = append(out, e)
		}
	}
	return out
}
