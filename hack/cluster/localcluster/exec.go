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
	"strconv"
	"syscall"
)

// loadCommand imports image archives (of buildah, docker save or pack) into
// every node. They are read here, and so may be anywhere on the machine.
func loadCommand(ctx context.Context, args []string) error {
	var o options
	files, err := parseFlags("load", args, o.defineName)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("usage: load.sh [--name NAME] FILE...: name the image archives to import")
	}
	if err := checkRoot(); err != nil {
		return err
	}
	nodes, err := runningNodes(o.name)
	if err != nil {
		return err
	}
	for _, file := range files {
		for _, node := range nodes {
			if err := importImage(ctx, node, file); err != nil {
				return fmt.Errorf("importing %s into %s: %w", file, node.node, err)
			}
		}
	}
	return nil
}

func importImage(ctx context.Context, node nodeProcess, file string) error {
	archive, err := os.Open(file)
	if err != nil {
		return err
	}
	defer archive.Close()
	command := exec.CommandContext(ctx, "nsenter", enterArgs(node,
		"ctr", "--namespace", "k8s.io", "images", "import", "-")...)
	command.Stdin = archive
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	return command.Run()
}

// execCommand becomes a command inside a node: to look around, or to make
// mounts that the node's pods are to see.
func execCommand(args []string) error {
	var o options
	var nodeName string
	command, err := parseFlags("exec", args, func(flags *flag.FlagSet) {
		o.defineName(flags)
		flags.StringVar(&nodeName, "node", "node-1", "the node")
	})
	if err != nil {
		return err
	}
	if len(command) == 0 {
		return errors.New("usage: exec.sh [--name NAME] [--node NODE] CMD...: name the command to run")
	}
	if err := checkRoot(); err != nil {
		return err
	}
	nodes, err := runningNodes(o.name)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if node.node != nodeName {
			continue
		}
		nsenter, err := exec.LookPath("nsenter")
		if err != nil {
			return err
		}
		return syscall.Exec(nsenter, append([]string{"nsenter"}, enterArgs(node, command...)...), os.Environ())
	}
	return fmt.Errorf("cluster %s has no node %q", o.name, nodeName)
}

func runningNodes(cluster string) ([]nodeProcess, error) {
	nodes := findNodes(cluster)
	if len(nodes) == 0 {
		return nil, fmt.Errorf("cluster %q is not running: start it with hack/cluster/up.sh --name %[1]s", cluster)
	}
	return nodes, nil
}

func enterArgs(node nodeProcess, command ...string) []string {
	return append([]string{
		"--target", strconv.Itoa(node.pid), "--mount", "--net", "--pid", "--uts", "--ipc", "--",
	}, command...)
}
