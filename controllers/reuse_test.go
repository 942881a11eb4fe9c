// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/report"
)

// reused is what a run reports that took most of its archive over from the one before.
func reused() *report.Reuse {
	return &report.Reuse{
		Previous: "before.tar.zst", Method: report.ReuseServerCopy, ReusedBytes: 35, SharedBytes: 30, NewBytes: 5, VerifiedBytes: 3,
	}
}

func TestStatusTellsWhatWasReused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*report.Reuse)
		want   backupv1alpha1.Run
	}{
		{"reused", func(*report.Reuse) {}, backupv1alpha1.Run{
			ReuseMethod: "ServerCopy", ReusedFrom: "before.tar.zst", BytesNew: ptr.To[int64](5), BytesReused: ptr.To[int64](35),
			BytesShared: ptr.To[int64](30), BytesVerified: ptr.To[int64](3),
		}},
		{"nothing before", func(r *report.Reuse) { *r = report.Reuse{NewBytes: 40} }, backupv1alpha1.Run{
			BytesNew: ptr.To[int64](40), BytesReused: ptr.To[int64](0), BytesShared: ptr.To[int64](0), BytesVerified: ptr.To[int64](0),
		}},
		{"all of it damaged", func(r *report.Reuse) {
			*r = report.Reuse{Previous: "before.tar.zst", NewBytes: 40, VerifiedBytes: 40, DamagedFrames: 2}
		}, backupv1alpha1.Run{
			BytesNew: ptr.To[int64](40), BytesReused: ptr.To[int64](0),
			BytesShared: ptr.To[int64](0), BytesVerified: ptr.To[int64](40),
		}},
		{"a method of a newer runner", func(r *report.Reuse) { r.Method = "telepathy" }, backupv1alpha1.Run{
			ReuseMethod: "Telepathy", ReusedFrom: "before.tar.zst", BytesNew: ptr.To[int64](5), BytesReused: ptr.To[int64](35),
			BytesShared: ptr.To[int64](30), BytesVerified: ptr.To[int64](3),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			past, said := newPastRuns(t), good()
			said.Archive.Reuse = reused()
			c.change(said.Archive.Reuse)
			past.reported(past.job("run-1", 1, batchv1.JobComplete, ""), said)
			run := statusOf(t, rsyncPolicy(), past.seen).LastRun
			got := backupv1alpha1.Run{
				ReuseMethod: run.ReuseMethod, ReusedFrom: run.ReusedFrom, BytesNew: run.BytesNew,
				BytesReused: run.BytesReused, BytesShared: run.BytesShared, BytesVerified: run.BytesVerified,
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Also of a run that succeeded.
func TestEachFindingIsOneEvent(t *testing.T) {
	policy, past, said := rsyncPolicy(), newPastRuns(t), good()
	said.Findings = []report.Finding{
		{Reason: report.FindingArchiveDamaged, Message: "before.tar.zst is damaged: check all archives with backup-operator verify"},
		{Reason: "ClockAhead", Message: "something that only a newer runner looks for"},
	}
	past.reported(past.job("run-1", 1, batchv1.JobComplete, ""), said)
	before := policy.Status.DeepCopy()
	after := statusOf(t, policy, past.seen).DeepCopy()
	wantCondition(t, after, "BackupSucceeded", metav1.ConditionTrue, "Succeeded")
	all := newsBetween(before, after)
	first, last := all[len(all)-2], all[len(all)-1]
	if last.reason != "ClockAhead" || first.key == last.key {
		t.Errorf("the second finding: %+v", last)
	}
	last = first
	if last.reason != "ArchiveDamaged" || last.eventType != corev1.EventTypeWarning {
		t.Fatalf("told %+v", all)
	}
	for _, word := range []string{"run-1: ", "before.tar.zst", "backup-operator verify"} {
		if !strings.Contains(last.message, word) {
			t.Errorf("%q doesn't say %q", last.message, word)
		}
	}
	if again := newsBetween(after, statusOf(t, policy, past.seen)); len(again) > 0 {
		t.Errorf("told again: %+v", again)
	}
}
