// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// printFailure shows the end of the logs of a cluster that did not come up: of
// the component that ended, or of all when none did.
func printFailure(c Cluster) {
	for _, node := range c.Nodes {
		reason, _ := os.ReadFile(failureFile(c, node))
		culprit, _, _ := strings.Cut(string(reason), " ")
		logs, _ := filepath.Glob(c.logFile(node, "*"))
		for _, log := range logs {
			component := strings.TrimSuffix(filepath.Base(log), ".log")
			if _, err := os.Stat(c.logFile(node, culprit)); err == nil && component != culprit {
				continue
			}
			printTail(node, component, log)
		}
	}
}

func printTail(n Node, component, log string) {
	const lines = 15
	content, err := os.ReadFile(log)
	if err != nil || len(content) == 0 {
		return
	}
	all := strings.Split(strings.TrimSpace(string(content)), "\n")
	say("the last lines of %s on %s:", component, n.Name)
	for _, line := range all[max(0, len(all)-lines):] {
		fmt.Fprintln(os.Stderr, "    "+line)
	}
}

// collectDiagnostics keeps what a person needs to see why a command failed on a
// cluster that is about to be removed, and names the directory.
func (c Cluster) collectDiagnostics() {
	directory := filepath.Join(diagnosticsRoot(), c.Name+"-"+time.Now().UTC().Format("20060102T150405Z"))
	if err := os.MkdirAll(directory, 0o755); err != nil {
		say("%v", err)
		return
	}
	for file, args := range map[string]string{
		"pods.txt":      "get pods --all-namespaces --output=wide",
		"describe.txt":  "describe pods,jobs,cronjobs,persistentvolumeclaims,nodes --all-namespaces",
		"events.txt":    "events --all-namespaces",
		"resources.txt": "get all,persistentvolumeclaims,persistentvolumes --all-namespaces --output=yaml",
	} {
		c.keepOutput(filepath.Join(directory, file), strings.Fields(args)...)
	}
	for _, node := range c.Nodes {
		for _, logs := range []string{"log", privateDirs["/var/log/pods"]} {
			target := filepath.Join(directory, node.Name, logs)
			if err := os.CopyFS(target, os.DirFS(c.nodePath(node, logs))); err != nil {
				say("%v", err)
			}
		}
	}
	say("pods, events and logs of the failed run are in %s", directory)
}

// keepOutput writes what kubectl prints, errors too, to a file.
func (c Cluster) keepOutput(file string, args ...string) {
	var output bytes.Buffer
	args = append([]string{"--kubeconfig", c.kubeconfig(), "--request-timeout=20s"}, args...)
	command := exec.Command(c.program("kubectl"), args...)
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		fmt.Fprintf(&output, "kubectl: %v\n", err)
	}
	if err := os.WriteFile(file, output.Bytes(), 0o644); err != nil {
		say("%v", err)
	}
}

func diagnosticsRoot() string {
	if directory := os.Getenv("CLUSTER_DIAGNOSTICS"); directory != "" {
		return directory
	}
	return filepath.Join(os.TempDir(), "backup-operator-diagnostics")
}
