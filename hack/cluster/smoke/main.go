// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command smoke is what the pods of the cluster's own test run.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	steps := map[string]func() error{"api": callAPI, "echo": echo, "write": write}
	step, known := steps[os.Args[len(os.Args)-1]]
	if !known {
		fmt.Fprintln(os.Stderr, "usage: smoke api|echo|write")
		os.Exit(2)
	}
	if err := step(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// write leaves a file in the volume and a message for whoever reads the pod's
// status, and shows that the root file system is read-only.
func write() error {
	if err := os.WriteFile("/forbidden", nil, 0o644); err == nil {
		return fmt.Errorf("the root file system can be written to")
	}
	message := fmt.Appendf(nil, "written by user %d", os.Getuid())
	if err := os.WriteFile("/data/message", message, 0o644); err != nil {
		return err
	}
	fmt.Println("the volume has", string(message))
	return os.WriteFile("/dev/termination-log", message, 0o644)
}

// callAPI reads the pod's own namespace from the API server, as a client with
// in-cluster configuration does.
func callAPI() error {
	const credentials = "/var/run/secrets/kubernetes.io/serviceaccount/"
	token, err := os.ReadFile(credentials + "token")
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(credentials + "ca.crt")
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	server := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	request, err := http.NewRequest(http.MethodGet, "https://"+server+"/api/v1/namespaces/default/pods", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	client := http.Client{
		Timeout:   20 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	fmt.Println(server, response.Status, len(body) > 0)
	return os.WriteFile("/dev/termination-log", []byte(response.Status), 0o644)
}

// echo answers requests, so that exec and port-forward have something to reach.
func echo() error {
	return http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "answer to", r.URL.Path)
	}))
}
