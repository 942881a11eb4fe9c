// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"appliance.io/backup-operator/test/controlplane"
)

// FuzzHostileRuns: whatever a run's pod and Job say, the API server takes the status and the events that follow from it.
func FuzzHostileRuns(f *testing.F) {
	files, err := filepath.Glob("../internal/report/testdata/*/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no reports: %v", err)
	}
	for _, file := range files {
		message, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(message), "Completed", "", int32(0), true)
	}
	for _, words := range []string{"not a reason", "a/b", "1st", strings.Repeat("A", 1025), "two\nlines", "é", "\x00"} {
		f.Add("", words, words, int32(1), false)
		f.Add(words, "Error", words, int32(-1), true)
	}
	f.Add("", "", strings.Repeat("x", 40000), int32(137), false)

	c := controlplane.NewClient(f)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "hostile-"}}
	if err := c.Create(f.Context(), ns); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, message, containerReason, jobWords string, exit int32, complete bool) {
		if !utf8.ValidString(message + containerReason + jobWords) {
			t.Skip("no answer of the API server can hold this")
		}
		policy := readPolicy(t, "testdata/page.yaml")
		policy.ObjectMeta = metav1.ObjectMeta{GenerateName: "appliance-", Namespace: ns.Name}
		if err := c.Create(t.Context(), policy); err != nil {
			t.Fatal(err)
		}
		past := newPastRuns(t).of(policy)
		condition := map[bool]batchv1.JobConditionType{true: batchv1.JobComplete, false: batchv1.JobFailed}[complete]
		job := past.job("run-1", 1, condition, jobWords)
		past.seen.jobs[0].Namespace = ns.Name
		past.seen.jobs[0].Status.Conditions[0].Message = jobWords
		message = strings.ReplaceAll(message, "orbit/appliance", ns.Name+"/"+policy.Name)
		past.pod(job, corev1.PodFailed, exit, containerReason, message)

		r := &BackupPolicyReconciler{Client: c, Clock: clock.RealClock{}}
		schedule, fault := checkSettings(policy, Options{})
		if fault != nil {
			t.Fatal(fault.message)
		}
		before := policy.DeepCopy()
		policy.Status = *nextStatus(policy, inForce(policy, schedule), past.seen, start)
		if unsent := r.emit(t.Context(), policy, newsBetween(&before.Status, &policy.Status)); len(unsent) > 0 {
			t.Errorf("the API server doesn't take these events: %+v", unsent)
		}
		if policy.Status.LastRun == nil {
			t.Error("the run doesn't show")
		}
		// Without regard to what the operator under test writes meanwhile.
		if err := c.Status().Patch(t.Context(), policy, client.MergeFrom(before)); err != nil {
			t.Errorf("the API server doesn't take the status: %v", err)
		}
	})
}
