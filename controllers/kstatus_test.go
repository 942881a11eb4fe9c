// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/report"
)

// kstatusOf is what tools that follow kstatus make of a policy.
func kstatusOf(t *testing.T, policy *backupv1alpha1.BackupPolicy) status.Status {
	t.Helper()
	policy.SetGroupVersionKind(backupv1alpha1.GroupVersion.WithKind("BackupPolicy"))
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(policy)
	if err != nil {
		t.Fatal(err)
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: fields})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

// TestANewPolicyIsInProgressUntilTheOperatorLooks in test/api is about the state before these.
func TestKstatusOfEachState(t *testing.T) {
	failed := func(past *pastRuns) {
		past.reported(past.job("failed", 0, batchv1.JobFailed, "BackoffLimitExceeded"), report.Report{
			Outcome: report.Failed, Reason: report.ReasonNotEnoughSpace, Message: "too little",
		})
	}
	for name, c := range map[string]struct {
		spec  func(*backupv1alpha1.BackupPolicySpec)
		past  func(*pastRuns)
		ready func(*Schedule) readiness
		after func(*backupv1alpha1.BackupPolicy)
		want  status.Status
	}{
		"before the first run": {want: status.CurrentStatus},
		"backups succeed":      {past: func(past *pastRuns) { past.succeeded("good", 0) }, want: status.CurrentStatus},
		"backups fail":         {past: failed, want: status.CurrentStatus},
		"suspended": {
			spec: func(spec *backupv1alpha1.BackupPolicySpec) { spec.Suspend = ptr.To(true) }, want: status.CurrentStatus,
		},
		"disabled": {
			spec: func(spec *backupv1alpha1.BackupPolicySpec) { spec.ApplicationBackup = nil }, want: status.CurrentStatus,
		},
		"a claim is missing": {spec: storeIn("nowhere"), want: status.InProgressStatus},
		"the API server is away": {
			ready: func(s *Schedule) readiness { return progressing(s, nil, errors.New("connection refused")) },
			want:  status.InProgressStatus,
		},
		"the settings are wrong": {
			ready: func(*Schedule) readiness { return stalled(nil, &fault{"InvalidSchedule", "no such hour"}) },
			want:  status.FailedStatus,
		},
		"settings that the operator has not seen": {
			after: func(policy *backupv1alpha1.BackupPolicy) { policy.Generation++ }, want: status.InProgressStatus,
		},
		"being deleted": {
			after: func(policy *backupv1alpha1.BackupPolicy) { policy.DeletionTimestamp = ptr.To(metav1.NewTime(start)) },
			want:  status.TerminatingStatus,
		},
	} {
		t.Run(name, func(t *testing.T) {
			policy, past := rsyncPolicy(), newPastRuns(t)
			if c.spec != nil {
				c.spec(&policy.Spec)
			}
			if c.past != nil {
				c.past(past)
			}
			schedule, fault := checkSettings(policy, Options{})
			if fault != nil {
				t.Fatal(fault.message)
			}
			ready := inForce(policy, schedule)
			if c.ready != nil {
				ready = c.ready(schedule)
			}
			policy.Status = *nextStatus(policy, ready, past.seen, start)
			if c.after != nil {
				c.after(policy)
			}
			if got := kstatusOf(t, policy); got != c.want {
				t.Errorf("%s, want %s; conditions: %v", got, c.want, policy.Status.Conditions)
			}
		})
	}
}
