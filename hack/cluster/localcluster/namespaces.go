// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// nodeNamespaces are what makes a node a machine of its own. File system and
// cgroups are the machine's, so that hostPath volumes are ordinary directories.
const nodeNamespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// privateDirs are the fixed paths that Kubernetes and its runtime write to: in
// a node each of them is a directory of the node's own.
var privateDirs = map[string]string{
	"/var/lib/kubelet":    "kubelet",
	"/var/lib/cni":        "cni-state",
	"/var/log/pods":       "pods",
	"/var/log/containers": "containers",
}

// kernelSettings are settings of the whole machine that the kubelet insists on.
// It is shown the values that it wants to see, so that it does not set them.
var kernelSettings = map[string]string{
	"kernel/keys/root_maxbytes": "25000000",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
}

// enterNode turns the namespaces that this process was started in into a node.
func (c Cluster) enterNode(n Node) error {
	if err := unix.Sethostname([]byte(n.Name)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	if err := c.mountNode(n); err != nil {
		return err
	}
	if err := makeCgroups(c.cgroup(n)); err != nil {
		return err
	}
	return c.connectNode(n)
}

// mountNode arranges the node's mounts. Mounts made on the machine go on to
// show in the node where the machine shares them; none made in the node shows
// on the machine.
func (c Cluster) mountNode(n Node) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("separating the node's mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mounting /run: %w", err)
	}
	for target, name := range privateDirs {
		if err := bind(c.nodePath(n, name), target); err != nil {
			return err
		}
	}
	for setting, value := range kernelSettings {
		shown := c.nodePath(n, "sysctl", strings.ReplaceAll(setting, "/", "."))
		if err := os.WriteFile(shown, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := bind(shown, filepath.Join("/proc/sys", setting)); err != nil {
			return err
		}
	}
	// Last, so that each of the mounts above propagates to pods on its own and
	// not to its source as well.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing the node's mounts with its pods: %w", err)
	}
	return nil
}

func bind(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting %s at %s: %w", source, target, err)
	}
	return nil
}

// connectNode waits for the interface that up plugs in, and configures it. A
// node whose interface never comes was left by an up that died: it ends.
func (c Cluster) connectNode(n Node) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := poll(ctx, "network interface "+nodeInterface, func() error {
		_, err := net.InterfaceByName(nodeInterface)
		return err
	}); err != nil {
		return err
	}
	commands := []string{
		"link set lo up",
		fmt.Sprintf("address add %s/%d dev %s", n.Address, c.Gateway.Bits(), nodeInterface),
		"link set " + nodeInterface + " up",
		"route add default via " + c.Gateway.Addr().String(),
	}
	for _, other := range c.Nodes {
		if other.Name != n.Name {
			commands = append(commands, fmt.Sprintf("route add %s via %s", other.PodCIDR, other.Address))
		}
	}
	for _, command := range commands {
		if err := ip("%s", command); err != nil {
			return err
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}
