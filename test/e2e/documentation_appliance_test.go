// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// documentedAppliance is the appliance of which the documentation speaks, with backups that its policy has made, as many
// as it keeps and one more.
func documentedAppliance(t *testing.T) *appliance {
	t.Helper()
	a := &appliance{t: t, namespace: "orbit", dir: t.TempDir()}
	for _, name := range []string{a.namespace, "monitoring"} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := cluster.Create(t.Context(), ns); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(a.remove)
	for _, name := range []string{"data", "logs", "config", "sessions", "backups", "remote"} {
		a.volume("appliance-"+name, filepath.Join(a.dir, name), nil)
	}
	for path, content := range map[string]string{
		"data/appliance.db":                   "users",
		"logs/appliance.log":                  "started\n",
		"config/appliance.conf":               "name = orbit\n",
		"config/certificates/appliance.pem":   "-----BEGIN CERTIFICATE-----\n",
		"sessions/recorded/2026-11-22-01.rec": "a recording",
	} {
		a.write(content, path)
	}
	create(t, "testdata/documentation.yaml", strings.NewReplacer("IMAGE", os.Getenv("E2E_IMAGE")))
	p := &policy{appliance: a, name: "appliance"}
	pipe(t, string(filledInSample(t)), "kubectl", "--namespace", a.namespace, "apply", "-f", "-")
	p.waitInForce()
	for range 3 {
		p.mustRun()
	}
	return a
}

// filledInSample is the sample policy, filled in as the README says, for a remote partition that is there in the tests. It
// keeps few backups, so that some are removed.
func filledInSample(t *testing.T) []byte {
	t.Helper()
	sample, err := os.ReadFile(filepath.Join(repository, "config/samples/backuppolicy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	filledIn := string(sample)
	for example, ours := range map[string]string{
		"nfs: {server: nas.example.com, path: /export/appliance}": "persistentVolumeClaim: {claimName: appliance-remote}",
		"totalBackups: 7": "totalBackups: 2",
	} {
		if strings.Count(filledIn, example) != 1 {
			t.Fatalf("the sample policy has no %q", example)
		}
		filledIn = strings.ReplaceAll(filledIn, example, ours)
	}
	return []byte(filledIn)
}

// create makes the objects of a file, in which replace fills in what differs between runs.
func create(t *testing.T, file string, replace *strings.Replacer) {
	t.Helper()
	manifest, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pipe(t, replace.Replace(string(manifest)), "kubectl", "apply", "--server-side", "-f", "-")
}

// pipe runs a program that reads input.
func pipe(t *testing.T, input, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
