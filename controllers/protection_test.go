// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/test/controlplane"
)

// truth is something that can be true of a policy: the state that says so, and how a status comes to it. Its message is
// the name of the truth, so that a message tells what it belongs to.
type truth struct {
	state backupv1alpha1.ProtectionState
	// severity is higher for what is worse. A status has the state of the worst of its truths.
	severity int
	apply    func(*backupv1alpha1.BackupPolicyStatus)
}

func conditionTruth(
	state backupv1alpha1.ProtectionState, severity int, conditionType string, status metav1.ConditionStatus, reason string,
) truth {
	return truth{state, severity, func(s *backupv1alpha1.BackupPolicyStatus) {
		conditions{status: s}.set(conditionType, status, reason, "the message of "+string(state))
	}}
}

func runTruth(
	state backupv1alpha1.ProtectionState, severity int, outcome backupv1alpha1.Outcome, backup metav1.ConditionStatus,
) truth {
	return truth{state, severity, func(s *backupv1alpha1.BackupPolicyStatus) {
		s.LastRun = &backupv1alpha1.Run{Outcome: outcome}
		conditions{status: s}.set("BackupSucceeded", backup, "Any", "the message of "+string(state))
	}}
}

func nothing(severity int) truth {
	return truth{"", severity, func(*backupv1alpha1.BackupPolicyStatus) {}}
}

// aspects are what can be true of a policy at a time: one of each.
func aspects() [][]truth {
	return [][]truth{
		{
			conditionTruth("NotReady", 100, "Ready", metav1.ConditionFalse, "InvalidSchedule"),
			conditionTruth("Disabled", 80, "Ready", metav1.ConditionTrue, "Disabled"),
			conditionTruth("Suspended", 80, "Ready", metav1.ConditionTrue, "Suspended"),
			conditionTruth("Protected", 0, "Ready", metav1.ConditionTrue, "Scheduled"),
		},
		{conditionTruth("Delayed", 90, "Delayed", metav1.ConditionTrue, "ImageNotPulled"), nothing(0)},
		{truth{"Unbound", 70, func(*backupv1alpha1.BackupPolicyStatus) {}}, nothing(0)},
		{
			runTruth("Failing", 60, "Failed", metav1.ConditionFalse),
			runTruth("Incomplete", 50, "Incomplete", metav1.ConditionFalse),
			{"Pending", 10, func(s *backupv1alpha1.BackupPolicyStatus) {
				conditions{status: s}.set("BackupSucceeded", metav1.ConditionUnknown, "NoRunYet", "the message of Pending")
			}},
			runTruth("Protected", 0, "Succeeded", metav1.ConditionTrue),
		},
		{conditionTruth("Unusual", 42, "Unusual", metav1.ConditionTrue, "SourceShrank"), nothing(0)},
		{
			conditionTruth("NotSynchronized", 40, "Synchronized", metav1.ConditionFalse, "SyncFailed"),
			conditionTruth("NotSynchronized", 40, "Synchronized", metav1.ConditionUnknown, "NoRunYet"),
			conditionTruth("Protected", 0, "Synchronized", metav1.ConditionTrue, "Succeeded"),
			nothing(0),
		},
		{
			{"Warning", 30, func(s *backupv1alpha1.BackupPolicyStatus) {
				if s.LastRun != nil {
					s.LastRun.Findings = []backupv1alpha1.Finding{{Reason: "ArchiveDamaged", Message: "the message of Warning"}}
				}
			}},
			nothing(0),
		},
		{
			{"Running", 20, func(s *backupv1alpha1.BackupPolicyStatus) { s.ActiveJobs = []string{"appliance-backup-1"} }},
			nothing(0),
		},
	}
}

func TestTheStatusColumnIsTheWorstThatIsTrue(t *testing.T) {
	seen := map[backupv1alpha1.ProtectionState]bool{}
	combinations(aspects(), func(truths []truth) {
		status, unbound := &backupv1alpha1.BackupPolicyStatus{}, []string(nil)
		worst, noRunYet, names := truth{"Protected", 0, nil}, false, []string(nil)
		for _, one := range truths {
			noRunYet = noRunYet || one.state == "Pending"
		}
		for _, one := range truths {
			one.apply(status)
			names = append(names, string(one.state))
			if one.state == "Unbound" {
				unbound = []string{"data"}
			}
			// Before the first run there is nothing to synchronize and to find.
			counts := !noRunYet || one.severity < 30 || one.severity > 42
			if counts && one.severity > worst.severity {
				worst = one
			}
		}
		got := protectionOf(status, unbound)
		seen[got.State] = true
		if got.State != worst.state {
			t.Fatalf("%v: %s, want %s", names, got.State, worst.state)
		}
		wantMessageOf(t, got, worst.state, noRunYet, names)
		if active := strings.Join(status.ActiveJobs, ""); got.State != "Delayed" && !strings.Contains(got.Message, active) {
			t.Fatalf("%v: %q does not name the active run", names, got.Message)
		}
	})
	for _, state := range []backupv1alpha1.ProtectionState{
		"NotReady", "Delayed", "Disabled", "Suspended", "Unbound", "Failing", "Incomplete", "Unusual", "NotSynchronized", "Warning",
		"Running", "Pending", "Protected",
	} {
		if !seen[state] {
			t.Errorf("no combination is %s", state)
		}
	}
}

// wantMessageOf checks that a message belongs to its state, and never to a better one.
func wantMessageOf(
	t *testing.T, got *backupv1alpha1.Protection, state backupv1alpha1.ProtectionState, noRunYet bool, names []string,
) {
	t.Helper()
	want := "the message of " + string(state)
	switch state {
	case "Unbound":
		want = "the claim data"
	case "Running":
		want = "before it: the message of Protected"
		if noRunYet {
			want = "before it: the message of Pending"
		}
	}
	if !strings.Contains(got.Message, want) {
		t.Fatalf("%v: %s says %q, want %q in it", names, state, got.Message, want)
	}
	if state != "Protected" && state != "Running" && strings.Contains(got.Message, "the message of Protected") {
		t.Fatalf("%v: %s says %q", names, state, got.Message)
	}
}

// combinations calls f with each choice of one truth from each aspect.
func combinations(of [][]truth, f func([]truth)) {
	if len(of) == 0 {
		f(nil)
		return
	}
	for _, one := range of[0] {
		combinations(of[1:], func(rest []truth) { f(append([]truth{one}, rest...)) })
	}
}

func TestClaimsWithoutAVolumeShow(t *testing.T) {
	policy := rsyncPolicy()
	policy.Spec.FileBackupMode = backupv1alpha1.FileBackupModeArchive
	storeIn("backups")(&policy.Spec)
	for phase, want := range map[corev1.PersistentVolumeClaimPhase]backupv1alpha1.ProtectionState{
		corev1.ClaimBound: "Pending", corev1.ClaimPending: "Unbound", corev1.ClaimLost: "NotReady",
	} {
		object := fullClaim()
		object.Status.Phase = phase
		status := statusOf(t, policy.DeepCopy(), observation{claims: map[string]claim{"backups": asKept(object)}})
		if status.Protection.State != want {
			t.Errorf("%s: %+v, want %s", phase, status.Protection, want)
		}
	}
	status := statusOf(t, policy, observation{})
	if status.Protection.State != "NotReady" || !strings.Contains(status.Protection.Message, "backups") {
		t.Errorf("missing: %+v", status.Protection)
	}
}

func TestAPolicyWhoseDeletionWaitsSaysSo(t *testing.T) {
	c := controlplane.NewClient(t)
	policy := apply(t, "testdata/page.yaml", namespace(t))
	eventually(t, func() error { return protectionIs(t, policy, "NotReady") })
	hold := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":["example.com/hold"]}}`))
	if err := c.Patch(t.Context(), policy, hold); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return protectionIs(t, policy, "Deleting") })
	free := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
	if err := c.Patch(t.Context(), policy, free); err != nil {
		t.Fatal(err)
	}
}

func protectionIs(t *testing.T, policy *backupv1alpha1.BackupPolicy, want backupv1alpha1.ProtectionState) error {
	t.Helper()
	var now backupv1alpha1.BackupPolicy
	if err := controlplane.NewClient(t).Get(t.Context(), client.ObjectKeyFromObject(policy), &now); err != nil {
		return err
	}
	if got := ptr.Deref(now.Status.Protection, backupv1alpha1.Protection{}); got.State != want {
		return fmt.Errorf("the protection is %+v, want %s", got, want)
	}
	return nil
}
