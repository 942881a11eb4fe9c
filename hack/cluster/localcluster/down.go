// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

func downCommand(args []string) error {
	var o options
	rest, err := parseFlags("down", args, o.defineName)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("down takes no argument %q", rest[0])
	}
	if err := checkRoot(); err != nil {
		return err
	}
	if err := checkName(o.name); err != nil {
		return err
	}
	unlock, err := lockCluster(o.name)
	if err != nil {
		return err
	}
	defer unlock()
	return down(o.name)
}

// down removes a cluster, or whatever is left of one, and does nothing when
// there is none. The caller holds the cluster's lock.
func down(name string) error {
	for _, process := range findNodes(name) {
		if err := killNode(process); err != nil {
			return err
		}
	}
	// With the last process of a node went its mounts and its network.
	err := errors.Join(
		removeBridge(name),
		removeCgroups(name),
		os.RemoveAll(clusterDir(name)),
	)
	if len(clusterNames()) == 0 {
		removePrivateDirs()
	}
	return err
}

// runPrefix begins the names of the clusters that the run command makes for
// itself.
const runPrefix = "run-"

// removeOrphans removes clusters whose run command was killed: its lock is free.
func removeOrphans() {
	for _, name := range clusterNames() {
		if !strings.HasPrefix(name, runPrefix) {
			continue
		}
		unlock, err := lock(lockFile(name), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != nil {
			continue
		}
		say("removing cluster %s, whose command was killed", name)
		if err := down(name); err != nil {
			say("%v", err)
		}
		unlock()
		_ = os.Remove(lockFile(name))
	}
}
