// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// stopGrace is how long an interrupted command may take to end by itself.
const stopGrace = 30 * time.Second

// runCommand runs a command against a cluster that lives as long as the command
// does, and ends with the command's exit status. The lock, held all the while,
// tells others that the cluster has an owner.
func runCommand(ctx context.Context, args []string) error {
	var o options
	command, err := parseFlags("run", args, func(flags *flag.FlagSet) { o.defineName(flags); o.defineNodes(flags) })
	if err != nil {
		return err
	}
	if len(command) == 0 {
		return errors.New("usage: run.sh [--name NAME] [--nodes N] CMD...: name the command to run")
	}
	if err := checkRoot(); err != nil {
		return err
	}
	if o.name == defaultName {
		o.name = fmt.Sprintf("%s%d", runPrefix, os.Getpid())
	}
	if err := checkName(o.name); err != nil {
		return err
	}
	unlock, err := lockCluster(o.name)
	if err != nil {
		return err
	}
	defer unlock()
	removeOrphans()
	c, err := up(ctx, o)
	if err != nil {
		return err
	}
	status, err := c.runWith(ctx, command)
	if status != 0 || err != nil {
		c.collectDiagnostics()
	}
	if downErr := down(o.name); downErr != nil || err != nil {
		return errors.Join(err, downErr)
	}
	if status != 0 {
		return exitCode(status)
	}
	return nil
}

// runWith runs a command with the cluster as kubectl's and returns its exit
// status, as a shell would tell it.
func (c Cluster) runWith(ctx context.Context, args []string) (int, error) {
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(),
		"KUBECONFIG="+c.kubeconfig(),
		"CLUSTER_NAME="+c.Name,
		"PATH="+c.Assets+":"+os.Getenv("PATH"),
	)
	// Should this process be killed, the command is not to outlive it either. The
	// kernel minds the thread that started the command, so it has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = stopGrace
	err := command.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		status := ended.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			return 128 + int(status.Signal()), nil
		}
		return status.ExitStatus(), nil
	}
	if errors.Is(err, context.Canceled) { // the command ended well although it was interrupted
		return 128 + int(syscall.SIGINT), nil
	}
	return 0, err
}
