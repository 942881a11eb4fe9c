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
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	defaultName = "dev"
	upTimeout   = 5 * time.Minute
)

// options are the flags that commands share.
type options struct {
	name  string
	nodes int
}

func parseFlags(command string, args []string, define func(*flag.FlagSet)) ([]string, error) {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	define(flags)
	if err := flags.Parse(args); err != nil {
		return nil, exitCode(2) // the flag package has said why
	}
	return flags.Args(), nil
}

func (o *options) defineName(flags *flag.FlagSet) {
	flags.StringVar(&o.name, "name", defaultName, "the cluster's name")
}

func (o *options) defineNodes(flags *flag.FlagSet) {
	flags.IntVar(&o.nodes, "nodes", 1, "how many nodes")
}

func upCommand(ctx context.Context, args []string) error {
	var o options
	rest, err := parseFlags("up", args, func(flags *flag.FlagSet) { o.defineName(flags); o.defineNodes(flags) })
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("up takes no argument %q", rest[0])
	}
	if err := checkRoot(); err != nil {
		return err
	}
	if err := checkName(o.name); err != nil {
		return err
	}
	if strings.HasPrefix(o.name, runPrefix) {
		return fmt.Errorf("cluster name %q: names with %s are run.sh's, which removes them: choose another", o.name, runPrefix)
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
	fmt.Println(c.kubeconfig())
	return nil
}

func checkRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("a node needs root, for its containers, mounts and network: use sudo --preserve-env=PATH,HOME")
	}
	return nil
}

// up starts a cluster and returns when pods can run on it; after an error or an
// interruption nothing of it is left. The caller holds the cluster's lock.
func up(ctx context.Context, o options) (Cluster, error) {
	if o.nodes < 1 || o.nodes > 200 {
		return Cluster{}, fmt.Errorf("--nodes %d: a cluster has 1 to 200 nodes", o.nodes)
	}
	if len(findNodes(o.name)) > 0 {
		return Cluster{}, fmt.Errorf(
			"cluster %q is up already: choose another name, or remove it with hack/cluster/down.sh --name %[1]s", o.name)
	}
	started := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, upTimeout, fmt.Errorf("not done in %s", upTimeout))
	defer cancel()
	if err := installTools(ctx); err != nil {
		return Cluster{}, err
	}
	// What a crash or a reboot left of a cluster of this name.
	if err := remove(o.name); err != nil {
		return Cluster{}, err
	}
	c, err := create(ctx, o)
	if err != nil {
		printFailure(c)
		return c, errors.Join(err, down(o.name))
	}
	say("cluster %s is ready after %.1f s", c.Name, time.Since(started).Seconds())
	return c, nil
}

func create(ctx context.Context, o options) (Cluster, error) {
	c, err := prepare(o)
	if err != nil {
		return c, err
	}
	for index, node := range c.Nodes {
		if err := c.startNode(index, node); err != nil {
			return c, err
		}
	}
	return c, c.waitReady(ctx)
}

// prepare writes everything that the nodes read, and makes their network.
func prepare(o options) (Cluster, error) {
	c := Cluster{Name: o.name, Assets: os.Getenv("CLUSTER_ASSETS"), PauseImage: filepath.Join(clusterDir(o.name), "pause.tar")}
	for _, dir := range []string{c.path("pki"), c.path("etcd")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return c, err
		}
	}
	// Pods that do not run as root pass through it to their volumes.
	if err := os.Chmod(c.dir(), 0o755); err != nil {
		return c, err
	}
	var err error
	if c.CNIPlugins, err = cniPlugins(); err != nil {
		return c, err
	}
	if err := packImage(pauseImage, os.Getenv("CLUSTER_PAUSE"), c.PauseImage); err != nil {
		return c, err
	}
	if err := makePrivateDirs(); err != nil {
		return c, err
	}
	if c.Gateway, err = addBridge(c.Name); err != nil {
		return c, err
	}
	c.Nodes = planNodes(c.Gateway, o.nodes)
	for _, node := range c.Nodes {
		if err := c.makeNodeDirs(node); err != nil {
			return c, err
		}
		if err := c.writeNodeConfig(node); err != nil {
			return c, err
		}
	}
	if err := c.writeCredentials(); err != nil {
		return c, err
	}
	return c, c.save()
}

func (c Cluster) makeNodeDirs(n Node) error {
	dirs := []string{"log", "cni", "sysctl"}
	for _, dir := range privateDirs {
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(c.nodePath(n, dir), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// startNode starts a node's process 1 in new namespaces, and plugs it into the
// cluster's network.
func (c Cluster) startNode(index int, n Node) error {
	log, err := os.Create(c.logFile(n, nodeCommand))
	if err != nil {
		return err
	}
	defer log.Close()
	process := exec.Command("/proc/self/exe", nodeCommand, c.dir(), n.Name)
	process.Args[0] = "localcluster"
	process.Stdout, process.Stderr = log, log
	process.SysProcAttr = &syscall.SysProcAttr{Cloneflags: nodeNamespaces, Setsid: true}
	if err := process.Start(); err != nil {
		return fmt.Errorf("starting node %s: %w", n.Name, err)
	}
	return c.plugIn(index, process.Process.Pid)
}

// waitReady waits until pods can run: the nodes are ready, and the namespaces
// have the service account that pods run as. A component that ends meanwhile
// ends the wait.
func (c Cluster) waitReady(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go c.watchFailures(ctx, stop)
	client, err := newAPIClient(c)
	if err != nil {
		return err
	}
	if err := client.waitReady(ctx); err != nil {
		return err
	}
	for _, node := range c.Nodes {
		if err := poll(ctx, "node "+node.Name, func() error { return client.nodeReady(ctx, node.Name) }); err != nil {
			return err
		}
	}
	for _, namespace := range []string{"default", "kube-system"} {
		path := "/api/v1/namespaces/" + namespace + "/serviceaccounts/default"
		if err := poll(ctx, "the service account of namespace "+namespace, func() error {
			return client.get(ctx, path, nil)
		}); err != nil {
			return err
		}
	}
	return nil
}

func (c Cluster) watchFailures(ctx context.Context, stop context.CancelCauseFunc) {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := c.failure(); err != nil {
			stop(err)
			return
		}
	}
}

// failure is the first fault that a node left word of, or that its process 1 is
// gone.
func (c Cluster) failure() error {
	for _, node := range c.Nodes {
		if reason, err := os.ReadFile(failureFile(c, node)); err == nil {
			return fmt.Errorf("node %s: %s", node.Name, reason)
		}
	}
	if running := len(findNodes(c.Name)); running < len(c.Nodes) {
		return fmt.Errorf("%d of %d nodes ended", len(c.Nodes)-running, len(c.Nodes))
	}
	return nil
}
