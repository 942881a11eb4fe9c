// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package rsync

import (
	"bufio"
	"cmp"
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
	// grace is used instead of Grace by tests.
	grace time.Duration
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

// Run runs a transfer. Flushing is left out if this rsync can't. When ctx is done, or nothing moves for the time that
// the options set, rsync and all its children are told to stop, and killed if they don't within Grace. The error then
// wraps the context's cause or ErrStalled, and ErrStuck besides if they couldn't even be killed: Run returns all the
// same. Otherwise it is an *Error.
func (c Command) Run(ctx context.Context, o Options, hooks Hooks) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	o.Flush = o.Flush && c.CanFlush
	grace := cmp.Or(c.grace, Grace)
	cmd := exec.Command(c.Path, o.Arguments()...) //nolint:noctx // stopWith stops the whole group, a context only one process.
	cmd.Stdin = strings.NewReader(o.input())
	// rsync's output is parsed: it must not depend on the user's language or settings.
	cmd.Env = append(withoutRsync(os.Environ()), "LC_ALL=C")
	var stderr tail
	cmd.Stderr = &stderr
	cmd.WaitDelay = grace // A child that hangs may hold standard error.
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
	if err := ctx.Err(); err != nil {
		return Result{}, fmt.Errorf("rsync: %w", context.Cause(ctx))
	}
	// A group of its own, so that all its processes can be signalled at once. Should this process be killed, the
	// kernel kills rsync: it must not go on writing for nobody. That is bound to the thread that starts it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return Result{}, explain(err, "")
	}
	family.started()
	// rsync's own timeout comes first. It doesn't see everything: while the process that receives hangs in a write,
	// another one keeps the sender content.
	ctx, moved, end := stalling(ctx, o.Timeout, grace)
	defer end()
	stop := stopWith(ctx, cmd.Process.Pid, grace)
	ended := make(chan ending, 1)
	go func() {
		result := read(stdout, moved, hooks.Progress)
		ended <- ending{result: result, err: cmd.Wait()}
	}()
	select {
	case e := <-ended:
		gone := family.wait(grace)
		switch stopped := stop.end(); {
		case stopped && !gone:
			return e.result, fmt.Errorf("%w: %w", context.Cause(ctx), ErrStuck)
		case stopped && e.err != nil:
			return e.result, fmt.Errorf("rsync was stopped: %w", context.Cause(ctx))
		}
		return e.result, explain(e.err, stderr.String())
	case <-stop.inVain:
		return Result{}, fmt.Errorf("%w: %w", context.Cause(ctx), ErrStuck)
	}
}

// ending is how a transfer ended.
type ending struct {
	result Result
	err    error
}

// read takes rsync's output to its end. Moved is called for each line.
func read(stdout io.Reader, moved func(), progress func(Progress)) Result {
	var r Result
	lines := bufio.NewScanner(stdout)
	lines.Split(splitLines)
	for lines.Scan() {
		moved()
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
