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

// down removes a cluster and, as the last thing, the file of its lock, which
// the caller holds.
func down(name string) error {
	return errors.Join(remove(name), os.RemoveAll(lockFile(name)))
}

// remove removes a cluster, or whatever is left of one, and does nothing when
// there is none.
func remove(name string) error {
	for _, process := range findNodes(name) {
		if err := killNode(name, process); err != nil {
			return err
		}
	}
	// With the last process of a node went its mounts and its network.
	return errors.Join(
		removeBridge(name),
		removeCgroups(name),
		os.RemoveAll(clusterDir(name)),
		removePrivateDirs(),
	)
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
	}
}
