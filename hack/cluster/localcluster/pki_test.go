// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCertificatesAreThoseOfTheirUse(t *testing.T) {
	ca, caPair, err := newAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(caPair.certificate) {
		t.Fatal("the authority's own certificate cannot be read")
	}
	server, err := ca.issueServer("kube-apiserver", "localhost", "10.96.0.1")
	if err != nil {
		t.Fatal(err)
	}
	client, err := ca.issueClient("system:node:node-1", "system:nodes")
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "10.96.0.1"} {
		options := x509.VerifyOptions{Roots: roots, DNSName: host}
		if _, err := parse(t, server).Verify(options); err != nil {
			t.Errorf("server certificate for %s: %v", host, err)
		}
	}
	certificate := parse(t, client)
	if diff := cmp.Diff([]string{"system:nodes"}, certificate.Subject.Organization); diff != "" {
		t.Errorf("groups of the client (-want +got):\n%s", diff)
	}
	clientUse := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := certificate.Verify(clientUse); err != nil {
		t.Errorf("client certificate: %v", err)
	}
	if _, err := certificate.Verify(x509.VerifyOptions{Roots: roots}); err == nil {
		t.Error("a client's certificate passes for a server's")
	}
}

func parse(t *testing.T, pair keyPair) *x509.Certificate {
	t.Helper()
	loaded, err := tls.X509KeyPair(pair.certificate, pair.key)
	if err != nil {
		t.Fatal(err)
	}
	return loaded.Leaf
}
