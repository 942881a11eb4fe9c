// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/test/controlplane"
)

// warn makes an event of type Warning as components of Kubernetes do.
func warn(t *testing.T, namespace string, about client.Object, kind, reason, message string) {
	t.Helper()
	now := metav1.Now()
	event := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "event-", Namespace: namespace},
		InvolvedObject: corev1.ObjectReference{
			Kind: kind, Namespace: namespace, Name: about.GetName(), UID: about.GetUID(),
		},
		Type: corev1.EventTypeWarning, Reason: reason, Message: message, FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}
	if err := controlplane.NewClient(t).Create(t.Context(), event); err != nil {
		t.Fatal(err)
	}
}

// TestEventsOfOneObjectAreRead from an API server that has those of others as well, and seldom.
func TestEventsOfOneObjectAreRead(t *testing.T) {
	ns := namespace(t)
	mine := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "mine", UID: "uid-mine"}}
	warn(t, ns, mine, "Pod", "FailedMount", "the NFS server\n is away")
	warn(t, ns, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "other", UID: "uid-other"}}, "Pod", "FailedMount", "not mine")
	lists := 0
	reader := newEventReader(interceptor.NewClient(controlplane.NewClient(t), interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			lists++
			return c.List(ctx, list, opts...)
		},
	}))
	now := time.Now()
	ask := func(after time.Duration) []kubeEvent {
		t.Helper()
		said, err := reader.answers(t.Context(), ns, []question{{"uid-mine", time.Minute}}, now.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return said["uid-mine"]
	}
	if said := ask(0); len(said) != 1 || said[0].reason != "FailedMount" || said[0].message != "the NFS server is away" {
		t.Errorf("read %+v", said)
	}
	ask(time.Minute - time.Second)
	if lists != 1 {
		t.Errorf("asked %d times within a minute", lists)
	}
	ask(time.Minute)
	if lists != 2 {
		t.Errorf("asked %d times, want again after a minute", lists)
	}
	// What nobody asks for any more is forgotten.
	if _, err := reader.answers(t.Context(), ns, []question{{"uid-new", time.Minute}}, now.Add(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if len(reader.known) != 1 {
		t.Errorf("%d answers are remembered", len(reader.known))
	}
}

// TestADelayIsToldWithoutEvents, when the operator may not read them for example.
func TestADelayIsToldWithoutEvents(t *testing.T) {
	denied := interceptor.NewClient(controlplane.NewClient(t), interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return errors.New(`events is forbidden: User "operator" cannot list resource "events" in API group "" in the namespace "orbit"`)
		},
	})
	r := &BackupPolicyReconciler{events: newEventReader(denied)}
	seen := observation{grace: grace, jobs: []batchv1.Job{newRun().job}}
	policy := rsyncPolicy()
	r.listen(t.Context(), policy, readiness{}, &seen, start.Add(time.Hour))
	status := nextStatus(policy, readiness{}, seen, start.Add(time.Hour))
	wantCondition(t, status, "Delayed", metav1.ConditionTrue, "PodNotStarted")
	policy.Status = *status
	again := nextStatus(policy, readiness{}, seen, start.Add(time.Hour))
	for _, s := range []*backupv1alpha1.BackupPolicyStatus{status, again} {
		if n := strings.Count(conditionOf(s, "Delayed").Message, `cannot list resource "events"`); n != 1 {
			t.Errorf("%d times: %s", n, conditionOf(s, "Delayed").Message)
		}
	}
}

// TestTheDeadlineNamesWhatWasWaitedFor: the pod is gone by then, and its events soon.
func TestTheDeadlineNamesWhatWasWaitedFor(t *testing.T) {
	policy, r := rsyncPolicy(), newRun()
	r.waiting("ContainerCreating", "").event("uid-pod-1", 0, "FailedMount", "nas.example.com: Connection timed out")
	seen := observation{
		grace: grace, jobs: []batchv1.Job{r.job}, pods: map[types.UID][]corev1.Pod{r.job.UID: r.pods}, said: r.said,
	}
	policy.Status = *nextStatus(policy, readiness{}, seen, start.Add(time.Hour))
	wantCondition(t, &policy.Status, "Delayed", metav1.ConditionTrue, "VolumeNotMounted")
	if diff := slices.Compare(policy.Status.ActiveJobs, []string{"run-1"}); diff != 0 {
		t.Errorf("active Jobs %v", policy.Status.ActiveJobs)
	}
	past := newPastRuns(t)
	past.job("run-1", 61, batchv1.JobFailed, "DeadlineExceeded")
	for range 2 {
		policy.Status = *nextStatus(policy, readiness{}, past.seen, start.Add(2*time.Hour))
		wantCondition(t, &policy.Status, "BackupSucceeded", metav1.ConditionFalse, "DeadlineExceeded")
		if words := policy.Status.LastRun.Message; !strings.Contains(words, "VolumeNotMounted") || !strings.Contains(words, "nas.example.com") {
			t.Errorf("message %q", words)
		}
	}
	if d := meta.FindStatusCondition(policy.Status.Conditions, "Delayed"); d != nil || policy.Status.ActiveJobs != nil {
		t.Errorf("still delayed: %+v, active Jobs %v", d, policy.Status.ActiveJobs)
	}
}

// TestADelayReachesThePolicyOnce: an operator on a real API server finds the cause in the Job's events, tells it as a
// condition, and as one event however often it looks.
func TestADelayReachesThePolicyOnce(t *testing.T) {
	ns := namespace(t, "data", "backups")
	policy := apply(t, "testdata/minimal.yaml", ns)
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	job := createJobFrom(t, mustGetCronJob(t, policy), "small-backup-1")
	c := controlplane.NewClient(t)
	warn(t, ns, job, "Job", "FailedCreate", `Error creating: pods "x" is forbidden: violates PodSecurity "restricted:latest"`)
	// The same operator, to which an hour seems to have passed.
	impatient := *reconciler
	impatient.Clock = laterClock{time.Hour}
	impatient.events = newEventReader(reconciler.APIReader)
	eventually(t, func() error {
		for range 3 {
			if _, err := impatient.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(policy)}); err != nil {
				return err
			}
		}
		var now backupv1alpha1.BackupPolicy
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(policy), &now); err != nil {
			return err
		}
		d := meta.FindStatusCondition(now.Status.Conditions, "Delayed")
		if d == nil || d.Reason != "PodRefused" || !strings.Contains(d.Message, "small-backup-1: ") || !strings.Contains(d.Message, "violates PodSecurity") {
			return fmt.Errorf("Delayed is %+v", d)
		}
		return nil
	})
	eventually(t, func() error {
		var all eventsv1.EventList
		if err := c.List(t.Context(), &all, client.InNamespace(ns)); err != nil {
			return err
		}
		var told []string
		for _, e := range all.Items {
			if e.Regarding.Kind == "BackupPolicy" && e.Reason == "PodRefused" {
				told = append(told, e.Note)
			}
		}
		if len(told) != 1 {
			return fmt.Errorf("told %d times: %q", len(told), told)
		}
		return nil
	})
}

// laterClock is ahead of the real one.
type laterClock struct{ by time.Duration }

func (c laterClock) Now() time.Time                  { return time.Now().Add(c.by) }
func (c laterClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
