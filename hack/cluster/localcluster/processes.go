// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// nodeProcess is a node's process 1, by its id on the machine.
type nodeProcess struct {
	pid  int
	node string
}

// findNodes finds a cluster's running nodes by their command lines. Nothing is
// kept in a file that a crash could leave wrong, and a process id that the
// machine gave to somebody else meanwhile cannot be mistaken for a node's.
func findNodes(cluster string) []nodeProcess {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []nodeProcess
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if node, ok := nodeAt(pid, cluster); ok {
			found = append(found, nodeProcess{pid, node})
		}
	}
	return found
}

func nodeAt(pid int, cluster string) (string, bool) {
	commandLine, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return "", false
	}
	return nodeOf(commandLine, clusterDir(cluster))
}

// nodeOf tells whether a command line, as /proc shows it, is that of a node of
// the cluster with the given directory, and of which.
func nodeOf(commandLine []byte, directory string) (string, bool) {
	args := bytes.Split(bytes.TrimSuffix(commandLine, []byte{0}), []byte{0})
	if len(args) != 4 || string(args[1]) != nodeCommand || string(args[2]) != directory {
		return "", false
	}
	return string(args[3]), true
}

// killNode kills a node's process 1, and with it every process of the node, and
// waits until all of them are gone.
func killNode(cluster string, p nodeProcess) error {
	handle, err := unix.PidfdOpen(p.pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("node %s: %w", p.node, err)
	}
	defer unix.Close(handle)
	// The handle now holds on to one process: is it still the node?
	if node, ok := nodeAt(p.pid, cluster); !ok || node != p.node {
		return nil
	}
	if err := unix.PidfdSendSignal(handle, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("killing node %s: %w", p.node, err)
	}
	const timeout = 30 * time.Second
	ready, err := pollReadable(handle, timeout)
	if err != nil {
		return fmt.Errorf("waiting for the end of node %s: %w", p.node, err)
	}
	if !ready {
		return fmt.Errorf("node %s (process %d) has not ended %s after it was killed", p.node, p.pid, timeout)
	}
	// Ours to reap when this very command started it, else process 1's.
	_, _ = unix.Wait4(p.pid, nil, unix.WNOHANG, nil)
	return nil
}

// pollReadable waits until a process handle says that the process has ended.
func pollReadable(handle int, timeout time.Duration) (bool, error) {
	deadline := time.Now().Add(timeout)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return false, nil
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}, int(left.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return n > 0, err
	}
}
