// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command pause holds a pod's namespaces open: it does nothing until it is
// told to stop, and reaps the processes that a pod with a shared process
// namespace leaves to it.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			if pid, _ := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 {
				break
			}
		}
	}
}
