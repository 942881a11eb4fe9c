// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// apiClient asks the API server the few things that starting a cluster needs.
type apiClient struct {
	server string
	http   *http.Client
}

func newAPIClient(c Cluster) (*apiClient, error) {
	ca, err := os.ReadFile(c.pki("ca.crt"))
	if err != nil {
		return nil, err
	}
	certificate, err := tls.LoadX509KeyPair(c.pki("apiserver-kubelet-client.crt"), c.pki("apiserver-kubelet-client.key"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &apiClient{
		server: c.server(),
		http: &http.Client{
			Timeout: 5 * time.Second,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{
				RootCAs: roots, Certificates: []tls.Certificate{certificate},
			}},
		},
	}, nil
}

// get reads a path into answer, or only looks at the status when answer is nil.
func (a *apiClient) get(ctx context.Context, path string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.server+path, nil)
	if err != nil {
		return err
	}
	response, err := a.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return fmt.Errorf("GET %s: %s: %s", path, response.Status, body)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

func (a *apiClient) waitReady(ctx context.Context) error {
	return poll(ctx, "the API server", func() error { return a.get(ctx, "/readyz", nil) })
}

// nodeObject is what up looks at of a Node object.
type nodeObject struct {
	Spec struct {
		Taints []struct{ Key string }
	}
	Status struct {
		Conditions []struct{ Type, Status, Message string }
	}
}

// nodeReady returns why pods cannot run on a node yet, or nil.
func (a *apiClient) nodeReady(ctx context.Context, name string) error {
	var node nodeObject
	if err := a.get(ctx, "/api/v1/nodes/"+name, &node); err != nil {
		return err
	}
	return node.ready()
}

func (n nodeObject) ready() error {
	for _, condition := range n.Status.Conditions {
		if condition.Type != "Ready" {
			continue
		}
		if condition.Status != "True" {
			return fmt.Errorf("not ready: %s", condition.Message)
		}
		if len(n.Spec.Taints) > 0 {
			return fmt.Errorf("still has the taint %s", n.Spec.Taints[0].Key)
		}
		return nil
	}
	return errors.New("has no Ready condition yet")
}

// poll tries again and again until try succeeds or the context ends; the error
// then says why it ended, and what the last try came to.
func poll(ctx context.Context, what string, try func() error) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	lastAnswer := "none"
	for {
		err := try()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil { // else it failed because of that
			lastAnswer = err.Error()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (last answer: %s)", what, context.Cause(ctx), lastAnswer)
		case <-ticker.C:
		}
	}
}
