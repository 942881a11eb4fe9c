// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// Where things are inside a node. /run is the node's own.
const (
	containerdSocket = "/run/containerd/containerd.sock"
	pauseImage       = "localhost/pause:local"
)

// containerd runs with a configuration, data and socket of the node's own.
func (c Cluster) containerd(n Node) component {
	return component{"containerd", []string{"containerd", "--config", c.nodePath(n, "containerd.toml")}}
}

func (c Cluster) kubelet(n Node) component {
	return component{"kubelet", []string{
		c.program("kubelet"),
		"--config=" + c.nodePath(n, "kubelet.json"),
		"--kubeconfig=" + c.kubeletKubeconfig(n),
		"--hostname-override=" + n.Name,
		"--node-ip=" + n.Address.String(),
	}}
}

// kubeProxy makes the services' addresses work in the node.
func (c Cluster) kubeProxy(n Node) component {
	return component{"kube-proxy", []string{
		c.program("kube-proxy"), "--config=" + c.nodePath(n, "kube-proxy.json"),
	}}
}

// writeNodeConfig writes all that the processes of one node read.
func (c Cluster) writeNodeConfig(n Node) error {
	if err := os.WriteFile(c.nodePath(n, "containerd.toml"), []byte(c.containerdConfig(n)), 0o644); err != nil {
		return err
	}
	// Names are looked up nowhere: the cluster has no DNS service. The address
	// is the node's own, where nothing listens, so that a look-up fails at once.
	if err := os.WriteFile(c.nodePath(n, "resolv.conf"), []byte("nameserver "+n.Address.String()+"\n"), 0o644); err != nil {
		return err
	}
	for file, content := range map[string]object{
		"kubelet.json":           c.kubeletConfig(n),
		"kube-proxy.json":        c.kubeProxyConfig(n),
		"cni/10-bridge.conflist": cniConfig(n),
	} {
		encoded, err := json.MarshalIndent(content, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.nodePath(n, file), encoded, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// containerdConfig turns off what a test machine may lack: AppArmor's parser,
// and the capability to protect processes from the out-of-memory killer. The
// plugins left out would look for file systems or make directories in /opt.
func (c Cluster) containerdConfig(n Node) string {
	return fmt.Sprintf(`version = 2
root = %q
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = %q

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  disable_apparmor = true
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = %q
  conf_dir = %q

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
`, c.nodePath(n, "containerd"), containerdSocket, pauseImage, c.CNIPlugins, c.nodePath(n, "cni"))
}

// kubeletConfig keeps the pods' cgroups under the cluster's own, and does not
// evict pods because the developer's disk is nearly full.
func (c Cluster) kubeletConfig(n Node) object {
	return object{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",
		"authentication": object{
			"anonymous": object{"enabled": false},
			"webhook":   object{"enabled": true},
			"x509":      object{"clientCAFile": c.pki("ca.crt")},
		},
		"authorization":               object{"mode": "Webhook"},
		"cgroupDriver":                "cgroupfs",
		"cgroupRoot":                  c.cgroup(n),
		"clusterDNS":                  []string{n.Address.String()},
		"clusterDomain":               clusterDomain,
		"containerRuntimeEndpoint":    "unix://" + containerdSocket,
		"evictionHard":                object{"memory.available": "50Mi"},
		"failCgroupV1":                false,
		"failSwapOn":                  false,
		"imageGCHighThresholdPercent": 100,
		"oomScoreAdj":                 0,
		"resolvConf":                  c.nodePath(n, "resolv.conf"),
		"serializeImagePulls":         false,
	}
}

// kubeProxyConfig leaves the machine's connection tracking limits alone. All
// traffic to services is masqueraded, so that a pod reaches itself and its
// neighbours on the bridge through a service too.
func (c Cluster) kubeProxyConfig(n Node) object {
	return object{
		"apiVersion":       "kubeproxy.config.k8s.io/v1alpha1",
		"kind":             "KubeProxyConfiguration",
		"mode":             "iptables",
		"clientConnection": object{"kubeconfig": c.componentKubeconfig("kube-proxy")},
		"clusterCIDR":      clusterPodCIDR,
		"hostnameOverride": n.Name,
		"iptables":         object{"masqueradeAll": true},
		"oomScoreAdj":      0,
		"conntrack": object{
			"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
		},
	}
}

func cniConfig(n Node) object {
	return object{
		"cniVersion": "1.0.0",
		"name":       "pods",
		"plugins": []any{object{
			"type":        "bridge",
			"bridge":      "cni0",
			"isGateway":   true,
			"ipMasq":      true,
			"hairpinMode": true,
			"ipam": object{
				"type":   "host-local",
				"ranges": []any{[]any{object{"subnet": n.PodCIDR.String()}}},
				"routes": []any{object{"dst": "0.0.0.0/0"}},
			},
		}},
	}
}
