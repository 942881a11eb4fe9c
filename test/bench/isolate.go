// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolatedVariable tells this program that it is the inner one.
const isolatedVariable = "BACKUP_OPERATOR_BENCH_ISOLATED"

// errInner says that the inner one failed.
var errInner = errors.New("in its namespaces")

func isolated() bool { return os.Getenv(isolatedVariable) != "" }

// isolate runs this program once more in mount and process namespaces of its own, with the same arguments. However that
// one ends, or this one, the kernel kills all that runs in them, unmounts the file systems and frees the loop devices.
func isolate(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("file systems are mounted, which takes root; -filesystems plain measures in a directory without")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// The kernel kills the inner one when the thread that started it ends, so that one must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), isolatedVariable+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true, // A key that interrupts goes to this one, and this one tells the inner.
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %w", errInner, err)
	}
	return nil
}

// enterIsolation makes the inner one's mounts its own, and its view of processes.
func enterIsolation() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}
