// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// TestRunNow is a policy in Git: the value stays there, and each time that it is another one there is one run.
func TestRunNow(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", nil)
	for i, value := range []string{"2026-11-22 before the upgrade", "B", "2026-11-22 before the upgrade"} {
		p.save(func(s *spec) { s.RunNow, s.Suspend = value, ptr.To(i == 1) })
		job := p.waitAnswered(value)
		if run := p.waitEnded(job); run.Outcome != backupv1alpha1.OutcomeSucceeded {
			t.Fatalf("%+v", run)
		}
		p.save(func(s *spec) { s.TotalBackups++ })
		if n := len(archivesIn(t, a.path("backups", "daily"), "appliance")); n != i+1 {
			t.Fatalf("%d archives after %d values", n, i+1)
		}
	}
	if n := len(p.jobs()); n != 3 {
		t.Errorf("%d Jobs for three values", n)
	}
	p.wantCondition(t, "Ready", "True", "Scheduled")
}

// TestRunNowAndARunByHand: the one waits for the other, and both are counted.
func TestRunNowAndARunByHand(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", nil)
	kubectl(t, "-n", a.namespace, "create", "job", "--from=cronjob/appliance-backup", "by-hand")
	p.save(func(s *spec) { s.RunNow = "A" })
	job := p.waitAnswered("A")
	p.waitEnded(job)
	byHand, now := p.job("by-hand"), p.job(job)
	if byHand.Status.CompletionTime == nil || now.CreationTimestamp.Before(byHand.Status.CompletionTime) {
		t.Errorf("%s was started at %v, and by-hand ended at %v", job, now.CreationTimestamp, byHand.Status.CompletionTime)
	}
	if n := *p.get().Status.Backups.Count; n != 2 {
		t.Errorf("the status tells of %d backups, want 2", n)
	}
}

// waitAnswered waits until the status answers with the value of runNow, and returns the name of the Job for it.
func (p *policy) waitAnswered(value string) string {
	p.t.Helper()
	eventually(p.t, func() error {
		if answer := p.get().Status.LastRunNow; answer != value {
			return fmt.Errorf("lastRunNow is %q, want %q", answer, value)
		}
		return nil
	})
	var newest *batchv1.Job
	for _, job := range p.jobs() {
		if job.Annotations[backupv1alpha1.AnnotationRunNow] == value &&
			(newest == nil || newest.CreationTimestamp.Before(&job.CreationTimestamp)) {
			newest = &job
		}
	}
	if newest == nil {
		p.t.Fatalf("there is no Job for runNow %q", value)
	}
	return newest.Name
}

// jobs are the policy's Jobs.
func (p *policy) jobs() []batchv1.Job {
	p.t.Helper()
	var jobs batchv1.JobList
	err := cluster.List(p.t.Context(), &jobs, client.InNamespace(p.namespace),
		client.MatchingLabels{backupv1alpha1.LabelPolicy: p.name})
	if err != nil {
		p.t.Fatal(err)
	}
	return jobs.Items
}

func (p *policy) job(name string) *batchv1.Job {
	p.t.Helper()
	var job batchv1.Job
	if err := cluster.Get(p.t.Context(), client.ObjectKey{Namespace: p.namespace, Name: name}, &job); err != nil {
		p.t.Fatal(err)
	}
	return &job
}
