// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFreeNetworkAvoidsWhatTheMachineUses(t *testing.T) {
	tests := map[string]struct{ used, want string }{
		"nothing in use":            {"", "172.30.0.0/24"},
		"another cluster":           {"172.30.0.1/24", "172.30.1.0/24"},
		"a network around ours":     {"172.30.0.0/20 10.0.0.0/8", "172.30.16.0/24"},
		"a single address of ours":  {"172.30.0.77/32", "172.30.1.0/24"},
		"only other people's":       {"192.168.0.0/16 fd00::/64", "172.30.0.0/24"},
		"a gap between two of ours": {"172.30.0.1/24 172.30.2.1/24", "172.30.1.0/24"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var used []netip.Prefix
			for _, prefix := range strings.Fields(test.used) {
				used = append(used, netip.MustParsePrefix(prefix))
			}
			got, err := freeNetwork(used)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != test.want {
				t.Errorf("freeNetwork(%s) = %s, want %s", test.used, got, test.want)
			}
		})
	}
	if got, err := freeNetwork([]netip.Prefix{netip.MustParsePrefix("172.16.0.0/12")}); err == nil {
		t.Errorf("freeNetwork with everything in use = %s, want an error", got)
	}
}

func TestPlanNodesLeavesTheFirstAddressToTheMachine(t *testing.T) {
	got := planNodes(netip.MustParsePrefix("172.30.3.1/24"), 2)
	want := []Node{
		{"node-1", netip.MustParseAddr("172.30.3.2"), netip.MustParsePrefix("10.244.0.0/24")},
		{"node-2", netip.MustParseAddr("172.30.3.3"), netip.MustParsePrefix("10.244.1.0/24")},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("planNodes (-want +got):\n%s", diff)
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"dev", "run-12345", "a"} {
		if err := checkName(name); err != nil {
			t.Errorf("checkName(%q) = %v, want none", name, err)
		}
	}
	// A name becomes a directory that down removes.
	for _, name := range []string{"", ".", "..", "a/b", "../etc", "A", "-a", "a-", strings.Repeat("a", 31)} {
		if checkName(name) == nil {
			t.Errorf("checkName(%q) = nil, want an error", name)
		}
	}
}

func TestBridgeNameFitsAnInterfaceWithANodesNumber(t *testing.T) {
	if name := bridgeName("dev") + "n200"; len(name) > 15 {
		t.Errorf("interface name %q has %d bytes, the kernel takes 15", name, len(name))
	}
	if bridgeName("dev") == bridgeName("dev2") {
		t.Error("two clusters have the same bridge")
	}
}

func TestNodeOfFindsOnlyThisClustersNodes(t *testing.T) {
	const directory = "/var/lib/backup-operator/dev"
	tests := map[string]struct {
		commandLine string
		want        string
		found       bool
	}{
		"a node":              {"localcluster\x00node\x00" + directory + "\x00node-1\x00", "node-1", true},
		"another cluster's":   {"localcluster\x00node\x00" + directory + "2\x00node-1\x00", "", false},
		"an editor":           {"vi\x00" + directory + "\x00", "", false},
		"a kernel thread":     {"", "", false},
		"a search for a node": {"grep\x00node " + directory + " node-1\x00", "", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, found := nodeOf([]byte(test.commandLine), directory)
			if got != test.want || found != test.found {
				t.Errorf("nodeOf(%q) = %q, %v, want %q, %v", test.commandLine, got, found, test.want, test.found)
			}
		})
	}
}
