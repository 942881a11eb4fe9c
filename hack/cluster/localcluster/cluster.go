// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// stateRoot holds one directory for each cluster.
const stateRoot = "/var/lib/backup-operator"

// Addresses inside the clusters. Each cluster has network namespaces of its
// own, so all of them can use the same ones.
const (
	serviceCIDR      = "10.96.0.0/16"
	clusterDomain    = "cluster.local"
	firstServiceIP   = "10.96.0.1"
	podCIDRPattern   = "10.244.%d.0/24"
	clusterPodCIDR   = "10.244.0.0/16"
	apiserverPort    = 6443
	nodeInterface    = "eth0"
	controlPlaneNode = 0
)

// Cluster is what up decides and the nodes read. Removing a cluster needs
// nothing of it but the name, so that a lost file leaves nothing behind.
type Cluster struct {
	Name string
	// Assets is the directory with the programs of Kubernetes and etcd.
	Assets string
	// PauseImage is the archive of the image that every pod's sandbox runs.
	PauseImage string
	// CNIPlugins is the directory with the machine's CNI plugins.
	CNIPlugins string
	// Gateway is the machine's own address on the cluster's bridge.
	Gateway netip.Prefix
	Nodes   []Node
}

// Node is one machine of a cluster.
type Node struct {
	Name    string
	Address netip.Addr
	PodCIDR netip.Prefix
}

var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$`)

func checkName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("cluster name %q: use at most 30 small letters, digits and dashes", name)
	}
	return nil
}

// clusterDir is the only directory that a cluster writes to.
func clusterDir(name string) string { return filepath.Join(stateRoot, name) }

func (c Cluster) dir() string        { return clusterDir(c.Name) }
func (c Cluster) kubeconfig() string { return filepath.Join(c.dir(), "kubeconfig") }

// path is a file or directory that belongs to the cluster as a whole.
func (c Cluster) path(elements ...string) string {
	return filepath.Join(append([]string{c.dir()}, elements...)...)
}

// nodePath is a file or directory that belongs to one node.
func (c Cluster) nodePath(n Node, elements ...string) string {
	return c.path(append([]string{"nodes", n.Name}, elements...)...)
}

// controlPlane is the node that etcd and the control plane run on besides pods.
func (c Cluster) controlPlane() Node { return c.Nodes[controlPlaneNode] }

func (c Cluster) server() string {
	return fmt.Sprintf("https://%s:%d", c.controlPlane().Address, apiserverPort)
}

// planNodes gives names and addresses to nodes: the machine itself has the
// network's first address and the nodes those from the second on.
func planNodes(network netip.Prefix, count int) []Node {
	address := network.Masked().Addr().Next()
	nodes := make([]Node, count)
	for i := range nodes {
		address = address.Next()
		nodes[i] = Node{
			Name:    fmt.Sprintf("node-%d", i+1),
			Address: address,
			PodCIDR: netip.MustParsePrefix(fmt.Sprintf(podCIDRPattern, i)),
		}
	}
	return nodes
}

func (c Cluster) node(name string) (Node, error) {
	for _, node := range c.Nodes {
		if node.Name == name {
			return node, nil
		}
	}
	return Node{}, fmt.Errorf("cluster %s has no node %q", c.Name, name)
}

// bridgeName is the machine's interface to a cluster: derived from the name
// alone, and short enough for an interface's name.
func bridgeName(cluster string) string {
	return fmt.Sprintf("bo%x", sha256.Sum256([]byte(cluster)))[:10]
}

func (c Cluster) save() error {
	content, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(c.path("cluster.json"), content, 0o600)
}

// loadCluster reads what up has saved in a cluster's directory.
func loadCluster(directory string) (Cluster, error) {
	var c Cluster
	content, err := os.ReadFile(filepath.Join(directory, "cluster.json"))
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(content, &c)
}

// clusterNames lists the clusters that have a directory, running or not.
func clusterNames() []string {
	entries, err := os.ReadDir(stateRoot)
	if err != nil {
		return nil
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	return names
}
