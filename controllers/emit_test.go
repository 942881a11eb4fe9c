// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/report"
	"appliance.io/backup-operator/test/controlplane"
)

// TestAMessageThatDiffersEachTimeIsOneEvent, for each generation of the settings.
func TestAMessageThatDiffersEachTimeIsOneEvent(t *testing.T) {
	policy, keys := rsyncPolicy(), map[string]bool{}
	for generation := range int64(2) {
		policy.Generation = 1 + generation
		for attempt := range 20 {
			// As a webhook's answer has it.
			words := fmt.Sprintf("denied the request (id %d-%d)", generation, attempt)
			before := policy.Status.DeepCopy()
			policy.Status = *nextStatus(policy, stalled(nil, &fault{"CronJobRefused", words}), observation{}, start)
			for _, n := range newsBetween(before, &policy.Status) {
				keys[n.key] = true
				if strings.Contains(n.key, "denied") {
					t.Errorf("the key %q holds words of the message", n.key)
				}
			}
		}
		if len(keys) != int(generation)+1 {
			t.Errorf("generation %d: %d events so far: %v", policy.Generation, len(keys), keys)
		}
	}
}

// TestKubectlSortsEvents among those that components of Kubernetes write.
func TestKubectlSortsEvents(t *testing.T) {
	ns := namespace(t, "data", "backups")
	policy := apply(t, "testdata/minimal.yaml", ns)
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	names := []string{"Oldest", "Older", "Newer", "Newest"}
	// Written in another order than they have, and between those of another component, which fills the fields of old.
	for _, i := range []int{2, 0, 3, 1} {
		at := time.Hour * time.Duration(i-len(names))
		late := *reconciler
		late.Clock = laterClock{at}
		if unsent := late.emit(t.Context(), policy, []news{{corev1.EventTypeNormal, names[i], actionBackup, "m", names[i]}}); unsent != nil {
			t.Fatalf("%s was not written", names[i])
		}
		then := metav1.NewTime(time.Now().Add(at + time.Minute))
		other := &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{GenerateName: "other-", Namespace: ns},
			InvolvedObject: late.eventFor(policy, news{}).InvolvedObject,
			Type:           corev1.EventTypeNormal, Reason: names[i] + "Other", Message: "m",
			FirstTimestamp: then, LastTimestamp: then, Count: 1,
		}
		if err := controlplane.NewClient(t).Create(t.Context(), other); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range [][]string{
		{"describe", "backuppolicy", policy.Name},
		{"get", "events", "--sort-by=.lastTimestamp"},
		{"events"},
	} {
		printed := controlplane.Kubectl(t, append(command, "--namespace="+ns)...)
		at := -1
		for _, name := range names {
			for _, reason := range []string{name + " ", name + "Other "} {
				next := strings.Index(printed, reason)
				if next <= at {
					t.Errorf("kubectl %q: %q is out of order in\n%s", command, reason, printed)
				}
				at = next
			}
		}
		if strings.Contains(printed, "<unknown>") || strings.Contains(printed, "<invalid>") {
			t.Errorf("kubectl %q lacks times:\n%s", command, printed)
		}
	}
}

// TestAnEventThatCannotBeWrittenIsWrittenLater, though the status doesn't wait for it.
func TestAnEventThatCannotBeWrittenIsWrittenLater(t *testing.T) {
	ns := namespace(t, "data", "backups")
	policy := apply(t, "testdata/minimal.yaml", ns)
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	c := controlplane.NewClient(t)
	if err := c.DeleteAllOf(t.Context(), &corev1.Event{}, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	away := true
	r := &BackupPolicyReconciler{
		Client: interceptor.NewClient(c, interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				if away {
					return errors.New("the events' etcd is away")
				}
				return c.Create(ctx, o, opts...)
			},
		}),
		Clock: reconciler.Clock, unsent: &outbox{},
	}
	write := func(status *backupv1alpha1.BackupPolicyStatus) bool {
		t.Helper()
		var now backupv1alpha1.BackupPolicy
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(policy), &now); err != nil {
			t.Fatal(err)
		}
		if status == nil {
			status = now.Status.DeepCopy()
		}
		allSent, err := r.writeStatus(t.Context(), &now, status)
		if err != nil {
			t.Fatal(err)
		}
		return allSent
	}
	failed := policy.Status.DeepCopy()
	failed.LastRun = &backupv1alpha1.Run{Job: "run-1", JobUID: "uid-1", Outcome: "Failed", Reason: "NotEnoughSpace", Message: "m"}
	if write(failed) {
		t.Error("an event that was refused counts as sent")
	}
	away = false
	if !write(nil) {
		t.Error("not sent")
	}
	var all corev1.EventList
	if err := c.List(t.Context(), &all, client.InNamespace(ns), client.MatchingFields{"reason": "NotEnoughSpace"}); err != nil {
		t.Fatal(err)
	}
	if len(all.Items) != 1 {
		t.Errorf("%d events, want 1", len(all.Items))
	}
	if late := r.unsent.take(client.ObjectKeyFromObject(policy)); late != nil {
		t.Errorf("still kept: %+v", late)
	}
}

func TestNewsAreToldOnce(t *testing.T) {
	policy, past := rsyncPolicy(), newPastRuns(t)
	tell := func() []string {
		before := policy.Status.DeepCopy()
		var reasons []string
		for _, n := range newsBetween(before, statusOf(t, policy, past.seen)) {
			if len(n.message) > maxEventNote {
				t.Errorf("a note of %d bytes", len(n.message))
			}
			reasons = append(reasons, n.eventType+" "+n.reason)
		}
		return reasons
	}
	want := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, tell()); diff != "" {
			t.Error(diff)
		}
	}
	want("Normal Scheduled")
	want()
	past.succeeded("run-1", 1)
	want("Normal BackupSucceeded")
	want()
	past.reported(past.job("run-2", 2, batchv1.JobFailed, ""), report.Report{
		Outcome: report.Failed, Reason: report.ReasonNotEnoughSpace, Message: strings.Repeat("é", 1000)})
	want("Warning NotEnoughSpace")
	want()
	policy.Spec.Suspend = ptr.To(true)
	want("Normal Suspended")
}

// TestWhatHappensAgainIsToldAgain: the names of events follow from their keys.
func TestWhatHappensAgainIsToldAgain(t *testing.T) {
	policy, past, told := rsyncPolicy(), newPastRuns(t), map[string]bool{}
	for generation := range int64(6) {
		policy.Generation = generation + 1
		policy.Spec.Suspend = ptr.To(generation%2 == 1)
		before := policy.Status.DeepCopy()
		for _, n := range newsBetween(before, statusOf(t, policy, past.seen)) {
			told[n.key] = true
		}
	}
	if len(told) != 6 {
		t.Errorf("told %d times that backups were suspended or resumed, want 6:\n%v", len(told), told)
	}
}
