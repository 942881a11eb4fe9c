// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
)

// writeCredentials makes the cluster's certificate authority, the certificates
// of its servers, the key that signs service account tokens, and a kubeconfig
// for the administrator and for each component.
func (c Cluster) writeCredentials() error {
	ca, caPair, err := newAuthority(c.Name + " certificate authority")
	if err != nil {
		return err
	}
	if err := caPair.write(c.pki("ca")); err != nil {
		return err
	}
	server, err := ca.issueServer("kube-apiserver", "localhost", "127.0.0.1", firstServiceIP,
		c.controlPlane().Address.String(), "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc."+clusterDomain)
	if err != nil {
		return err
	}
	if err := server.write(c.pki("apiserver")); err != nil {
		return err
	}
	kubeletClient, err := ca.issueClient("kube-apiserver-kubelet-client", "system:masters")
	if err != nil {
		return err
	}
	if err := kubeletClient.write(c.pki("apiserver-kubelet-client")); err != nil {
		return err
	}
	serviceAccounts, err := ca.issueClient("service-accounts")
	if err != nil {
		return err
	}
	if err := serviceAccounts.write(c.pki("service-accounts")); err != nil {
		return err
	}
	return c.writeKubeconfigs(ca, caPair)
}

func (c Cluster) writeKubeconfigs(ca authority, caPair keyPair) error {
	type user struct {
		file, name string
		groups     []string
	}
	users := []user{
		{c.kubeconfig(), "admin", []string{"system:masters"}},
		{c.componentKubeconfig("kube-controller-manager"), "system:kube-controller-manager", nil},
		{c.componentKubeconfig("kube-scheduler"), "system:kube-scheduler", nil},
		{c.componentKubeconfig("kube-proxy"), "system:kube-proxy", nil},
	}
	for _, node := range c.Nodes {
		users = append(users, user{c.kubeletKubeconfig(node), "system:node:" + node.Name, []string{"system:nodes"}})
	}
	for _, u := range users {
		pair, err := ca.issueClient(u.name, u.groups...)
		if err != nil {
			return err
		}
		content, err := json.MarshalIndent(c.kubeconfigFor(caPair.certificate, u.name, pair), "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(u.file, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// kubeconfigFor is a kubeconfig with everything in it, so that the file can be
// copied. JSON is YAML too, and clients read it.
func (c Cluster) kubeconfigFor(caCertificate []byte, user string, pair keyPair) any {
	return object{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": c.Name,
		"clusters": []any{object{"name": c.Name, "cluster": object{
			"server": c.server(), "certificate-authority-data": caCertificate,
		}}},
		"users": []any{object{"name": user, "user": object{
			"client-certificate-data": pair.certificate, "client-key-data": pair.key,
		}}},
		"contexts": []any{object{"name": c.Name, "context": object{"cluster": c.Name, "user": user}}},
	}
}

// object is a JSON object.
type object = map[string]any

func (c Cluster) pki(name string) string { return c.path("pki", name) }
func (c Cluster) componentKubeconfig(component string) string {
	return c.path("pki", component+".kubeconfig")
}
func (c Cluster) kubeletKubeconfig(n Node) string { return c.nodePath(n, "kubelet.kubeconfig") }
