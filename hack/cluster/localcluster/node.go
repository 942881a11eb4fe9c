// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// nodeCommand is how this program calls itself as a node's process 1, with the
// cluster's directory and the node's name: that command line is what down finds
// a node by.
const nodeCommand = "node"

// nodeStartTimeout is how long etcd, the API server and containerd may each take
// to answer.
const nodeStartTimeout = 2 * time.Minute

// runNode is a node's process 1: it makes the namespaces that it was started in
// into a machine, starts the node's components and then only reaps processes.
func runNode(args []string) error {
	if len(args) != 2 || os.Getpid() != 1 {
		return errors.New("this command is for the program itself: start nodes with up")
	}
	c, err := loadCluster(args[0])
	if err != nil {
		return err
	}
	n, err := c.node(args[1])
	if err != nil {
		return err
	}
	if err := c.enterNode(n); err != nil {
		return fmt.Errorf("preparing node %s: %w", n.Name, err)
	}
	s := newSupervisor(c, n)
	go func() {
		if err := c.startComponents(s, n); err != nil {
			say("%v", err)
			s.fail(err)
		}
	}()
	s.reap()
	return nil
}

// startComponents starts each component as soon as what it needs answers: none
// of them has to retry, and back off, so the node is up sooner.
func (c Cluster) startComponents(s *supervisor, n Node) error {
	ctx, cancel := context.WithTimeout(context.Background(), nodeStartTimeout)
	defer cancel()
	if err := s.start(c.containerd(n)); err != nil {
		return err
	}
	if n.Name == c.controlPlane().Name {
		for _, part := range []component{c.etcd(), c.apiserver()} {
			if err := s.start(part); err != nil {
				return err
			}
		}
	}
	if err := waitForSocket(ctx, containerdSocket); err != nil {
		return err
	}
	if err := s.runToEnd("import-pause", "ctr", "--namespace", "k8s.io", "images", "import", c.PauseImage); err != nil {
		return fmt.Errorf("importing the pause image: %w", err)
	}
	client, err := newAPIClient(c)
	if err != nil {
		return err
	}
	if err := client.waitReady(ctx); err != nil {
		return err
	}
	var rest []component
	if n.Name == c.controlPlane().Name {
		rest = append(rest, c.controllerManager(), c.scheduler())
	}
	rest = append(rest, c.kubelet(n), c.kubeProxy(n))
	for _, part := range rest {
		if err := s.start(part); err != nil {
			return err
		}
	}
	return nil
}

func waitForSocket(ctx context.Context, path string) error {
	return poll(ctx, "a listener on "+path, func() error {
		connection, err := net.Dial("unix", path)
		if err != nil {
			return err
		}
		return connection.Close()
	})
}

// ip runs ip(8) with the words of a command; its error holds what ip printed.
func ip(format string, args ...any) error {
	command := fmt.Sprintf(format, args...)
	if output, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", command, err, output)
	}
	return nil
}
