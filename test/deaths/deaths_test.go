// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package deaths

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/test/controlplane"
)

// end is what is there when a story has been told.
type end struct {
	CronJobs   []string
	Suspended  bool
	KeepsThree bool
	// Runs are the values of runNow that Jobs were made for.
	Runs       []string
	Conditions []string
	LastRunNow string
	LastRun    backupv1alpha1.Outcome
	Failures   int32
	Observed   bool
	// LaterThanSuccess says that the last run ended after the last one that succeeded.
	LaterThanSuccess bool
	Active           []string
	// Told are the events of runs, and Readiness those of settings.
	Told, Readiness []string
}

// theEnd is the end of the story, whatever goes wrong in it.
var theEnd = end{
	CronJobs: []string{"small-backup"}, Suspended: true, KeepsThree: true,
	Runs:             []string{"A", "A", "B"},
	Conditions:       []string{"BackupSucceeded=False BackoffLimitExceeded", "Ready=True Suspended"},
	LastRunNow:       "A",
	LastRun:          backupv1alpha1.OutcomeFailed,
	Failures:         2,
	Observed:         true,
	LaterThanSuccess: true,
	Told: []string{
		"Normal BackupStarted", "Normal BackupStarted", "Normal BackupStarted", "Normal BackupSucceeded",
		"Warning BackoffLimitExceeded", "Warning BackoffLimitExceeded",
	},
	Readiness: []string{"Normal Scheduled", "Normal Suspended", "Warning ClaimNotFound", "Warning InvalidSchedule"},
}

// TestAnyCallMayFail has each call of the story fail, one after the other.
func TestAnyCallMayFail(t *testing.T) {
	t.Parallel()
	got := play(t, controlplane.NewClient(t), fault{}, func(s *stage) { s.stumble(); s.settle() }).end()
	got.Readiness = withoutSetbacks(got.Readiness)
	if diff := cmp.Diff(theEnd, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAnyWriteMayBeTheLast has each write of the story go wrong in each way, in a story of its own.
func TestAnyWriteMayBeTheLast(t *testing.T) {
	t.Parallel()
	c := controlplane.NewClient(t)
	undisturbed := play(t, c, fault{}, (*stage).settle)
	if diff := cmp.Diff(theEnd, undisturbed.end()); diff != "" {
		t.Fatalf("already without any fault (-want +got):\n%s", diff)
	}
	for i, call := range undisturbed.calls {
		if !call.writes {
			continue
		}
		for _, m := range []mode{fails, answerIsLost, diesAfter} {
			t.Run(fmt.Sprintf("%03d %s %s", i+1, call.what, m), func(t *testing.T) {
				t.Parallel()
				got := play(t, c, fault{i + 1, m}, (*stage).settle).end()
				got.Readiness = withoutSetbacks(got.Readiness)
				if diff := cmp.Diff(theEnd, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestTheMirrorsMayBeBehind has the operator act on what was, as it does when an API server is slow to tell it what is.
func TestTheMirrorsMayBeBehind(t *testing.T) {
	t.Parallel()
	got := play(t, controlplane.NewClient(t), fault{}, (*stage).settleLate).end()
	got.Readiness = slices.Compact(got.Readiness) // Before it hears of any claim, more of them are not found.
	if diff := cmp.Diff(theEnd, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func (s *stage) end() end {
	s.t.Helper()
	var policy backupv1alpha1.BackupPolicy
	s.must(s.client.Get(s.t.Context(), client.ObjectKeyFromObject(s.policy), &policy))
	status := policy.Status
	e := end{
		LastRunNow: status.LastRunNow, LastRun: ptr.Deref(status.LastRun, backupv1alpha1.Run{}).Outcome,
		Failures: ptr.Deref(status.ConsecutiveFailures, -1), Observed: status.ObservedGeneration == policy.Generation,
		LaterThanSuccess: status.LastRun != nil && status.LastSuccessTime.Before(status.LastRun.CompletionTime),
		Active:           status.ActiveJobs,
	}
	for _, c := range status.Conditions {
		e.Conditions = append(e.Conditions, c.Type+"="+string(c.Status)+" "+c.Reason)
	}
	slices.Sort(e.Conditions)
	for _, c := range s.cronJobs() {
		e.CronJobs = append(e.CronJobs, c.Name)
		e.Suspended = ptr.Deref(c.Spec.Suspend, false) && metav1.IsControlledBy(&c, &policy)
		e.KeepsThree = slices.Contains(c.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args, "--keep=3")
	}
	for _, job := range s.jobs() {
		e.Runs = append(e.Runs, job.Annotations[backupv1alpha1.AnnotationRunNow])
	}
	slices.Sort(e.Runs)
	var all eventsv1.EventList
	s.must(s.client.List(s.t.Context(), &all, client.InNamespace(policy.Namespace)))
	for _, event := range all.Items {
		if event.Action == "Reconcile" {
			e.Readiness = append(e.Readiness, event.Type+" "+event.Reason)
		} else {
			e.Told = append(e.Told, event.Type+" "+event.Reason)
		}
	}
	slices.Sort(e.Readiness)
	slices.Sort(e.Told)
	return e
}

// withoutSetbacks takes out that the settings could not be brought into force for a while, and that they were after it:
// who is told of the one has to be told of the other.
func withoutSetbacks(readiness []string) []string {
	const setback = "Normal " + backupv1alpha1.ReasonProgressing
	if !slices.Contains(readiness, setback) {
		return readiness
	}
	return slices.Compact(slices.DeleteFunc(readiness, func(event string) bool { return event == setback }))
}
