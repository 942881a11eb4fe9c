// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command localcluster runs a real Kubernetes on this machine for tests and
// demonstrations: etcd, the control plane, and nodes with a real kubelet and
// containerd.
//
// The idea: every node lives in Linux namespaces of its own (processes, mounts,
// network, host name), as it would on a machine of its own, and this same
// program is the node's process 1. So each component has its usual ports and
// paths, several clusters live side by side, the machine's firewall, containerd
// and kernel settings are not touched, and nothing can be left running: when
// the node's process 1 is killed, the kernel ends all of the node's processes
// and drops its mounts and network interfaces. What is left to remove then is a
// bridge, some empty cgroups and one directory.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: localcluster COMMAND

  up   [--name NAME] [--nodes N]             start a cluster; prints its kubeconfig's path
  down [--name NAME]                         remove a cluster and all that belongs to it
  load [--name NAME] FILE...                 import image archives into every node
  exec [--name NAME] [--node NODE] CMD...    run a command in a node's namespaces
  run  [--name NAME] [--nodes N] CMD...      up, CMD with KUBECONFIG set, down
  pack IMAGE PROGRAM FILE                    write an image archive that holds one static program
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	// A node outlives the command that started it, and the signals sent to that.
	if os.Args[1] == nodeCommand {
		exitWith(runNode(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	exitWith(dispatch(ctx, os.Args[1], os.Args[2:]))
}

func dispatch(ctx context.Context, command string, args []string) error {
	switch command {
	case "up":
		return upCommand(ctx, args)
	case "down":
		return downCommand(args)
	case "load":
		return loadCommand(ctx, args)
	case "exec":
		return execCommand(args)
	case "run":
		return runCommand(ctx, args)
	case "pack":
		return packCommand(args)
	}
	fmt.Fprint(os.Stderr, usage)
	return exitCode(2)
}

// exitCode is the error of a command that has said all there is to say.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

func exitWith(err error) {
	var code exitCode
	switch {
	case err == nil:
		os.Exit(0)
	case errors.As(err, &code):
		os.Exit(int(code))
	}
	say("%v", err)
	os.Exit(1)
}

// say tells a person what is going on, on standard error: standard output is
// for what scripts read.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "cluster: "+format+"\n", args...)
}
