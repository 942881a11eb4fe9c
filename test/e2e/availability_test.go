// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// TestTheLeaderIsKilled is not parallel to the others, which count on one operator. Two run, and the one that works is
// killed while policies are applied that ask for a run: each has one CronJob and one run all the same.
func TestTheLeaderIsKilled(t *testing.T) {
	a := newAppliance(t)
	scaleOperator(t, 2)
	t.Cleanup(func() { scaleOperator(t, 1) })
	leader := waitLeader(t, "")
	policies := []*policy{a.applyAndRun("first")}
	policies[0].waitAnswered("now")
	killContainer(t, leader)
	policies = append(policies, a.applyAndRun("second"), a.applyAndRun("third"))
	waitLeader(t, leader)
	for _, p := range policies {
		p.waitInForce()
		job := p.waitAnswered("now")
		run := p.waitRun(func(run *backupv1alpha1.Run) bool { return run.Job == job })
		if run.Outcome != backupv1alpha1.OutcomeSucceeded {
			t.Errorf("%+v", run)
		}
		if n := len(p.jobs()); n != 1 {
			t.Errorf("policy %s has %d Jobs, want 1", p.name, n)
		}
		only(t, a.path("backups", p.name), p.name)
		p.waitEvent("BackupStarted")
		p.waitEvent("BackupSucceeded")
		p.waitEvent("Scheduled")
	}
}

// applyAndRun makes a policy that asks for a run, with directories of its own.
func (a *appliance) applyAndRun(name string) *policy {
	a.t.Helper()
	p := &policy{appliance: a, name: name}
	p.create(func(s *spec) {
		s.RunNow, s.FilenamePrefix = "now", name
		s.BackupDirectory, s.RsyncDirectory = backupv1alpha1.Directory("/"+name), backupv1alpha1.Directory("/"+name)
	})
	return p
}

// waitLeader waits until a replica works that isn't the other one, and returns its identity.
func waitLeader(t *testing.T, other string) string {
	t.Helper()
	var leader string
	eventually(t, func() error {
		leader = strings.TrimSpace(kubectl(t, "get", "leases", "--all-namespaces",
			"--field-selector=metadata.name=backup-operator.backup.appliance.io", "-o=jsonpath={.items[*].spec.holderIdentity}"))
		if leader == "" || leader == other {
			return fmt.Errorf("%q leads", leader)
		}
		return nil
	})
	return leader
}

// killContainer kills the operator's process in the pod with such an identity, which is the pod's name and something
// more. No signal that it could heed goes before.
func killContainer(t *testing.T, identity string) {
	t.Helper()
	pod, _, _ := strings.Cut(identity, "_")
	uid := strings.TrimSpace(kubectl(t, "get", "pods", "--all-namespaces", "--field-selector=metadata.name="+pod,
		"-o=jsonpath={.items[*].metadata.uid}"))
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil || uid == "" {
		t.Fatalf("no pod %s: %v", pod, err)
	}
	killed := 0
	for _, path := range groups {
		// A process may have ended meanwhile.
		group, _ := os.ReadFile(path)
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if !bytes.Contains(group, []byte(uid)) || !bytes.Contains(line, []byte("\x00operator\x00")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		killed++
	}
	if killed != 1 {
		t.Fatalf("killed %d processes of pod %s, want 1", killed, pod)
	}
}
