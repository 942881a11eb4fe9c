// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"appliance.io/backup-operator/internal/report"
)

// TestAnUnusualBackupIsACondition for as long as the last backup is: a run that makes none says nothing about it.
func TestAnUnusualBackupIsACondition(t *testing.T) {
	policy, past := rsyncPolicy(), newPastRuns(t)
	end := func(name string, minute int, said report.Report, findings ...report.Finding) {
		t.Helper()
		said.Findings = findings
		past.reported(past.job(name, minute, batchv1.JobComplete, ""), said)
		policy.Status = *statusOf(t, policy, past.seen)
	}
	end("run-1", 1, good(), report.Finding{Reason: report.FindingArchiveDamaged, Message: "something else"})
	if c := meta.FindStatusCondition(policy.Status.Conditions, "Unusual"); c != nil {
		t.Errorf("another finding makes %+v", c)
	}
	end("run-2", 2, good(), report.Finding{Reason: report.FindingArchiveDamaged, Message: "something else"},
		report.Finding{Reason: report.FindingSourceShrank, Message: "data shrank"},
		report.Finding{Reason: report.FindingFileSystemMissing, Message: "set acceptChange to a.tar.zst"})
	wantCondition(t, &policy.Status, "Unusual", metav1.ConditionTrue, "SourceShrank")
	wantCondition(t, &policy.Status, "BackupSucceeded", metav1.ConditionTrue, "Succeeded")
	message := meta.FindStatusCondition(policy.Status.Conditions, "Unusual").Message
	if message != "data shrank; set acceptChange to a.tar.zst" {
		t.Errorf("it says %q", message)
	}
	none := good()
	none.Archive, none.Outcome, none.Reason = nil, report.Failed, report.ReasonNotEnoughSpace
	end("run-3", 3, none)
	wantCondition(t, &policy.Status, "Unusual", metav1.ConditionTrue, "SourceShrank")
	end("run-4", 4, good())
	if c := meta.FindStatusCondition(policy.Status.Conditions, "Unusual"); c != nil {
		t.Errorf("the next usual backup leaves %+v", c)
	}
}

func TestAnAcceptedChangeReachesTheRunner(t *testing.T) {
	policy := rsyncPolicy()
	flag := func() bool {
		return slices.ContainsFunc(runnerArgs(policy), func(arg string) bool { return strings.HasPrefix(arg, "--accept-change") })
	}
	if flag() {
		t.Error("the flag is there and nothing was accepted")
	}
	policy.Spec.AcceptChange = "appliance-20261122T050000Z.tar.zst"
	if !slices.Contains(runnerArgs(policy), "--accept-change=appliance-20261122T050000Z.tar.zst") {
		t.Errorf("%q", runnerArgs(policy))
	}
}
