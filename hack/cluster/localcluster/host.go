// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// tools are the programs that a cluster needs and the Debian packages that
// have them.
var tools = []struct{ program, debianPackage string }{
	{"containerd", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{"ip", "iproute2"},
	{"iptables", "iptables"},
	{"nsenter", "util-linux"},
	{"mount", "mount"},
}

// cniDirs are where distributions put the CNI plugins.
var cniDirs = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// installTools installs what the machine lacks, saying so.
func installTools(ctx context.Context) error {
	missing := missingPackages()
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("this machine lacks what the Debian packages %s hold: install it", strings.Join(missing, ", "))
	}
	say("installing Debian packages: %s", strings.Join(missing, " "))
	install := append([]string{
		"install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300",
	}, missing...)
	if err := aptGet(ctx, install); err == nil {
		return nil
	}
	// The package lists may be old, or not there yet.
	if err := aptGet(ctx, []string{"update"}); err != nil {
		return err
	}
	return aptGet(ctx, install)
}

func aptGet(ctx context.Context, args []string) error {
	command := exec.CommandContext(ctx, "apt-get", append([]string{"--quiet=2"}, args...)...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, output)
	}
	return nil
}

func missingPackages() []string {
	var missing []string
	for _, tool := range tools {
		if _, err := exec.LookPath(tool.program); err != nil {
			missing = append(missing, tool.debianPackage)
		}
	}
	if _, err := cniPlugins(); err != nil {
		missing = append(missing, "containernetworking-plugins")
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}

func cniPlugins() (string, error) {
	for _, dir := range cniDirs {
		if _, err := os.Stat(filepath.Join(dir, "bridge")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no CNI plugins in %s", strings.Join(cniDirs, ", "))
}

// makePrivateDirs makes the mount points that a node hides behind directories
// of its own. A cluster has its directory by then, so that nobody takes them away.
func makePrivateDirs() error {
	unlock, err := lockMachine()
	if err != nil {
		return err
	}
	defer unlock()
	for dir := range privateDirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// removePrivateDirs removes, after the last cluster, the mount points that the
// machine itself has no use for.
func removePrivateDirs() error {
	unlock, err := lockMachine()
	if err != nil {
		return err
	}
	defer unlock()
	if len(clusterNames()) > 0 {
		return nil
	}
	for dir := range privateDirs {
		_ = os.Remove(dir) // stays when it is somebody's, and so not empty
	}
	return nil
}

// addBridge makes the cluster's network on the machine: a bridge with the first
// address of a network that nothing on the machine uses.
func addBridge(cluster string) (netip.Prefix, error) {
	unlock, err := lockMachine()
	if err != nil {
		return netip.Prefix{}, err
	}
	defer unlock()
	used, err := usedNetworks()
	if err != nil {
		return netip.Prefix{}, err
	}
	network, err := freeNetwork(used)
	if err != nil {
		return netip.Prefix{}, err
	}
	gateway := netip.PrefixFrom(network.Addr().Next(), network.Bits())
	bridge := bridgeName(cluster)
	if err := ip("link add %s type bridge", bridge); err != nil {
		return netip.Prefix{}, err
	}
	if err := ip("address add %s dev %s", gateway, bridge); err != nil {
		return netip.Prefix{}, err
	}
	return gateway, ip("link set %s up", bridge)
}

// plugIn gives a node, whose process 1 has the given id, its interface.
func (c Cluster) plugIn(index, pid int) error {
	bridge := bridgeName(c.Name)
	machineEnd := fmt.Sprintf("%sn%d", bridge, index+1)
	if err := ip("link add %s type veth peer name %s netns %d", machineEnd, nodeInterface, pid); err != nil {
		return err
	}
	return ip("link set %s master %s up", machineEnd, bridge)
}

// removeBridge removes the bridge and the machine's ends of the nodes' interfaces. Those would go by themselves with the
// nodes' networks, but the kernel keeps a network for as long as a connection in it that was cut has something to send,
// and that is minutes.
func removeBridge(cluster string) error {
	links, err := filepath.Glob(filepath.Join("/sys/class/net", bridgeName(cluster)+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, link := range links {
		err := ip("link delete %s", filepath.Base(link))
		if _, gone := os.Lstat(link); errors.Is(gone, fs.ErrNotExist) {
			continue // removed, by the kernel if not by us
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// usedNetworks are the IPv4 networks that the machine has addresses in or routes to.
func usedNetworks() ([]netip.Prefix, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var used []netip.Prefix
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil {
			used = append(used, prefix)
		}
	}
	routes, err := exec.Command("ip", "-4", "route", "show").Output()
	if err != nil {
		return nil, fmt.Errorf("ip -4 route show: %w", err)
	}
	for line := range strings.Lines(string(routes)) {
		destination, _, _ := strings.Cut(line, " ")
		if prefix, err := netip.ParsePrefix(destination); err == nil {
			used = append(used, prefix)
		}
	}
	return used, nil
}

// freeNetwork picks the first network of 172.30.0.0/16 with 256 addresses that
// overlaps none of those in use.
func freeNetwork(used []netip.Prefix) (netip.Prefix, error) {
	for third := range 256 {
		candidate := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 30, byte(third), 0}), 24)
		if !overlapsAny(candidate, used) {
			return candidate, nil
		}
	}
	return netip.Prefix{}, errors.New("no free network in 172.30.0.0/16: take down some clusters (hack/cluster/down.sh)")
}

func overlapsAny(candidate netip.Prefix, used []netip.Prefix) bool {
	for _, prefix := range used {
		if candidate.Overlaps(prefix) {
			return true
		}
	}
	return false
}
