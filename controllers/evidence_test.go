// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/report"
	"appliance.io/backup-operator/test/controlplane"
)

// encoded is a report of the run of a Job that pastRuns made, after a change.
func encoded(t *testing.T, job types.UID, change func(*report.Report)) string {
	t.Helper()
	said := good()
	said.Policy, said.Run = "orbit/appliance", strings.TrimPrefix(string(job), "uid-")+"/"+string(job)
	change(&said)
	message, err := report.Encode(said)
	if err != nil {
		t.Fatal(err)
	}
	return string(message)
}

// TestNoEvidenceIsNoSuccess whatever the Job says.
func TestNoEvidenceIsNoSuccess(t *testing.T) {
	unchanged := func(*report.Report) {}
	for name, leave := range map[string]func(*pastRuns, types.UID){
		"an empty report": func(p *pastRuns, job types.UID) { p.pod(job, corev1.PodSucceeded, 0, "Completed", "") },
		"a report that is cut off": func(p *pastRuns, job types.UID) {
			whole := encoded(t, job, unchanged)
			p.pod(job, corev1.PodSucceeded, 0, "Completed", whole[:len(whole)-1])
		},
		"somebody else's words": func(p *pastRuns, job types.UID) { p.pod(job, corev1.PodSucceeded, 0, "Completed", "all is well") },
		"another policy's report": func(p *pastRuns, job types.UID) {
			p.pod(job, corev1.PodSucceeded, 0, "Completed", encoded(t, job, func(r *report.Report) { r.Policy = "orbit/other" }))
		},
		"another run's report": func(p *pastRuns, job types.UID) {
			p.pod(job, corev1.PodSucceeded, 0, "Completed", encoded(t, job, func(r *report.Report) { r.Run = "run-1/uid-other" }))
		},
		"a report that names no run": func(p *pastRuns, job types.UID) {
			p.pod(job, corev1.PodSucceeded, 0, "Completed", encoded(t, job, func(r *report.Report) { r.Run = "" }))
		},
		"a success that the exit status contradicts": func(p *pastRuns, job types.UID) {
			p.pod(job, corev1.PodSucceeded, 1, "Error", encoded(t, job, unchanged))
		},
		"a pod whose runner never ran": func(p *pastRuns, job types.UID) {
			p.seen.pods[job] = []corev1.Pod{{Status: corev1.PodStatus{Phase: corev1.PodSucceeded}}}
		},
		"only another container's report": func(p *pastRuns, job types.UID) {
			p.pod(job, corev1.PodSucceeded, 0, "Completed", encoded(t, job, unchanged))
			p.seen.pods[job][0].Status.ContainerStatuses[0].Name = "sidecar"
		},
		"a Job that counts no pod, and has none": func(p *pastRuns, _ types.UID) { p.seen.jobs[0].Status.Succeeded = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			past := newPastRuns(t)
			leave(past, past.job("run-1", 1, batchv1.JobComplete, ""))
			policy := rsyncPolicy()
			// What it was judged by may go; that makes it no better.
			for range 2 {
				status := statusOf(t, policy, past.seen)
				wantCondition(t, status, "BackupSucceeded", metav1.ConditionFalse, "NoReport")
				if status.LastSuccessTime != nil || *status.ConsecutiveFailures != 1 || status.LastRun.Outcome != "Failed" ||
					!status.LastRun.ReportMissing {
					t.Errorf("%d failures, last success %v, %+v", *status.ConsecutiveFailures, status.LastSuccessTime, status.LastRun)
				}
				past.seen.pods = nil
				past.seen.jobs[0].Status.Succeeded = 1
			}
		})
	}
}

// TestAnIncompleteRunStaysIncompleteWithoutItsPod, by which alone it was known.
func TestAnIncompleteRunStaysIncompleteWithoutItsPod(t *testing.T) {
	policy, past := rsyncPolicy(), newPastRuns(t)
	said := good()
	said.Outcome = report.Incomplete
	past.reported(past.job("run-1", 1, batchv1.JobComplete, ""), said)
	before := statusOf(t, policy, past.seen).DeepCopy()
	past.seen.pods = nil
	if diff := cmp.Diff(before, statusOf(t, policy, past.seen)); diff != "" {
		t.Errorf("(-with +without its pod)\n%s", diff)
	}
}

// TestAPodThatIsGoneLeavesTheFiguresOfBefore, apart from the run that has none.
func TestAPodThatIsGoneLeavesTheFiguresOfBefore(t *testing.T) {
	policy, past := rsyncPolicy(), newPastRuns(t)
	past.succeeded("run-1", 1)
	reported := statusOf(t, policy, past.seen).LastRun.DeepCopy()
	for i := range 2 {
		past.job(fmt.Sprintf("run-%d", 2+i), 2+i, batchv1.JobComplete, "")
		status := statusOf(t, policy, past.seen)
		wantCondition(t, status, "BackupSucceeded", metav1.ConditionTrue, "Succeeded")
		last := status.LastRun
		if !last.ReportMissing || !strings.Contains(last.Message, "its pod was gone") || last.BytesRead != nil || last.Archive != "" {
			t.Errorf("%+v", last)
		}
		if !status.LastSuccessTime.Equal(last.CompletionTime) || *status.Backups.Count != 2 {
			t.Errorf("last success %v, backups %+v", status.LastSuccessTime, status.Backups)
		}
		if diff := cmp.Diff(reported, status.LastReportedRun); diff != "" {
			t.Errorf("the previous figures (-want +got)\n%s", diff)
		}
	}
	past.succeeded("run-4", 4)
	if status := statusOf(t, policy, past.seen); status.LastReportedRun != nil || status.LastRun.ReportMissing {
		t.Errorf("%+v beside %+v", status.LastReportedRun, status.LastRun)
	}
}

// TestAnotherContainerFailsTheJob though the runner succeeded.
func TestAnotherContainerFailsTheJob(t *testing.T) {
	policy, past := rsyncPolicy(), newPastRuns(t)
	past.reported(past.job("run-1", 1, batchv1.JobFailed, "BackoffLimitExceeded"), good())
	status := statusOf(t, policy, past.seen)
	wantCondition(t, status, "BackupSucceeded", metav1.ConditionFalse, "BackoffLimitExceeded")
	if last := status.LastRun; status.LastSuccessTime != nil || last.Archive != "a.tar.zst" ||
		!strings.Contains(last.Message, "reported success (made a.tar.zst), but the Job failed") {
		t.Errorf("last success %v, %+v", status.LastSuccessTime, last)
	}
}

// TestTheTryThatSucceededCounts also where an earlier one was made in the same second.
func TestTheTryThatSucceededCounts(t *testing.T) {
	policy, past := rsyncPolicy(), newPastRuns(t)
	job := past.job("run-1", 1, batchv1.JobComplete, "")
	past.reported(job, good())
	past.pod(job, corev1.PodFailed, 137, "Error", "")
	wantCondition(t, statusOf(t, policy, past.seen), "BackupSucceeded", metav1.ConditionTrue, "Succeeded")
}

// TestEarlierTriesDoNotSpeakForTheRun when the pod of its last try is gone, as it is with its node.
func TestEarlierTriesDoNotSpeakForTheRun(t *testing.T) {
	tried := func(past *pastRuns, job types.UID) {
		past.pod(job, corev1.PodFailed, 1, "Error", encoded(t, job, func(r *report.Report) {
			r.Outcome, r.Reason, r.Message = report.Failed, report.ReasonNotEnoughSpace, "the first try"
		}))
	}
	t.Run("first seen without it", func(t *testing.T) {
		past := newPastRuns(t)
		tried(past, past.job("run-1", 1, batchv1.JobComplete, ""))
		status := statusOf(t, rsyncPolicy(), past.seen)
		wantCondition(t, status, "BackupSucceeded", metav1.ConditionTrue, "Succeeded")
		if !status.LastRun.ReportMissing || status.LastSuccessTime == nil {
			t.Errorf("last success %v, %+v", status.LastSuccessTime, status.LastRun)
		}
	})
	for _, condition := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed} {
		t.Run("gone after "+string(condition), func(t *testing.T) {
			policy, past := rsyncPolicy(), newPastRuns(t)
			job := past.job("run-1", 1, condition, "")
			tried(past, job)
			said := good()
			if condition == batchv1.JobFailed {
				said.Outcome, said.Message = report.Incomplete, "the last try"
			}
			past.reported(job, said)
			before := statusOf(t, policy, past.seen).DeepCopy()
			past.seen.pods[job] = past.seen.pods[job][:1]
			if diff := cmp.Diff(before, statusOf(t, policy, past.seen)); diff != "" {
				t.Errorf("(-with +without the last try's pod)\n%s", diff)
			}
		})
	}
}

// TestAnUpgradeCountsNoRunAgain: the previous version went by times, and recorded neither the Jobs nor the protection.
func TestAnUpgradeCountsNoRunAgain(t *testing.T) {
	policy, past := rsyncPolicy(), newPastRuns(t)
	failed := func(name string, minutes int) {
		past.reported(past.job(name, minutes, batchv1.JobFailed, ""), report.Report{Outcome: report.Failed, Message: "no"})
	}
	past.succeeded("run-1", 1)
	failed("run-2", 2)
	failed("run-3", 3)
	before := statusOf(t, policy, past.seen).DeepCopy()
	before.ConsecutiveFailures = ptr.To[int32](7) // Most of their Jobs are long gone.
	policy.Status = *before.DeepCopy()
	policy.Status.Jobs, policy.Status.Protection = nil, nil
	clear(past.seen.pods)
	if diff := cmp.Diff(before, statusOf(t, policy, past.seen)); diff != "" {
		t.Errorf("(-before +after the upgrade)\n%s", diff)
	}
	policy.Status.Jobs, policy.Status.Protection = nil, nil
	failed("run-4", 4)
	if got := statusOf(t, policy, past.seen); *got.ConsecutiveFailures != 8 || got.LastRun.Job != "run-4" {
		t.Errorf("with a run that ended during the upgrade: %d failures, last run %s", *got.ConsecutiveFailures, got.LastRun.Job)
	}
}

// TestEachRunCountsOnce whatever its times are: runs end in one second, and clocks are set back.
func TestEachRunCountsOnce(t *testing.T) {
	policy, past := rsyncPolicy(), newPastRuns(t)
	for i, run := range []struct {
		name    string
		minutes int
		good    bool
	}{{"run-c", 60, false}, {"run-b", 60, false}, {"run-a", 1, false}, {"run-d", 60, true}, {"run-0", 2, true}, {"run-1", 1, false}} {
		if run.good {
			past.succeeded(run.name, run.minutes)
		} else {
			past.reported(past.job(run.name, run.minutes, batchv1.JobFailed, ""), report.Report{Outcome: report.Failed, Message: "no"})
		}
		want := []int32{1, 2, 3, 0, 0, 1}[i]
		for range 2 {
			status := statusOf(t, policy, past.seen)
			if *status.ConsecutiveFailures != want || status.LastRun.Job != run.name {
				t.Errorf("after %s: %d failures, want %d; the last run is %s", run.name, *status.ConsecutiveFailures, want, status.LastRun.Job)
			}
		}
	}
	if last := policy.Status.LastSuccessTime; !last.Time.Equal(start.Add(2 * time.Minute)) {
		t.Errorf("last success at %s, want that of the success that came last", last)
	}
}

// TestOnlyJobsThatTheCronJobControlsAreRuns: one that bears the labels is none, one that kubectl makes of the CronJob is.
func TestOnlyJobsThatTheCronJobControlsAreRuns(t *testing.T) {
	ns := namespace(t, "data", "backups")
	policy := apply(t, "testdata/minimal.yaml", ns)
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	c, cronJob := controlplane.NewClient(t), mustGetCronJob(t, policy)
	template := cronJob.Spec.JobTemplate
	stranger := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: "bears-the-labels", Namespace: ns, Labels: template.Labels,
			Annotations: map[string]string{annotationInstantiate: "manual"},
		},
		Spec: template.Spec,
	}
	// Somebody may also own it without controlling it, or control it and not be the CronJob.
	stranger.OwnerReferences = []metav1.OwnerReference{
		{APIVersion: "batch/v1", Kind: "CronJob", Name: cronJob.Name, UID: cronJob.UID},
	}
	if err := c.Create(t.Context(), stranger); err != nil {
		t.Fatal(err)
	}
	endJob(t, stranger)
	controlplane.Kubectl(t, "--namespace="+ns, "create", "job", "now", "--from=cronjob/"+cronJob.Name)
	var now batchv1.Job
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "now"}, &now); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return wantActive(t, policy, "now") })
	endJob(t, &now)
	status := waitRun(t, policy, "now", "Succeeded", 0).Status
	if !strings.Contains(status.LastRun.Message, "its pod was gone") {
		t.Errorf("%+v", status.LastRun)
	}
	want := []backupv1alpha1.KnownJob{{Name: "now", UID: string(now.UID), Ended: true}}
	if diff := cmp.Diff(want, status.Jobs); diff != "" {
		t.Errorf("known Jobs (-want +got)\n%s", diff)
	}
}

func wantActive(t *testing.T, policy *backupv1alpha1.BackupPolicy, names ...string) error {
	t.Helper()
	var now backupv1alpha1.BackupPolicy
	if err := controlplane.NewClient(t).Get(t.Context(), client.ObjectKeyFromObject(policy), &now); err != nil {
		return err
	}
	if diff := cmp.Diff(names, now.Status.ActiveJobs); diff != "" {
		return fmt.Errorf("active Jobs (-want +got)\n%s", diff)
	}
	return nil
}

// TestAJobDeletedWhileItRunsIsOneEvent, and a run without a result, also when another of its name follows at once.
func TestAJobDeletedWhileItRunsIsOneEvent(t *testing.T) {
	ns := namespace(t, "data", "backups")
	policy := apply(t, "testdata/minimal.yaml", ns)
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	c, cronJob := controlplane.NewClient(t), mustGetCronJob(t, policy)
	uids := map[string]bool{}
	for range 2 {
		job := createJobFrom(t, cronJob, "now")
		uids[string(job.UID)] = true
		eventually(t, func() error { return wantKnown(t, policy, string(job.UID)) })
		if err := c.Delete(t.Context(), job, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
			t.Fatal(err)
		}
	}
	last := waitRun(t, policy, "now", "Failed", 2).Status.LastRun
	if last.Reason != "JobDeleted" || !last.ReportMissing || !uids[last.JobUID] {
		t.Errorf("last run %+v", last)
	}
	reconcileAgain(t, policy)
	var all corev1.EventList
	if err := c.List(t.Context(), &all, client.InNamespace(ns), client.MatchingFields{"reason": "JobDeleted"}); err != nil {
		t.Fatal(err)
	}
	if len(all.Items) != 2 || !strings.Contains(all.Items[0].Message, "now: backup failed: the Job was deleted before it ended") {
		t.Errorf("%d events for 2 Jobs: %+v", len(all.Items), all.Items)
	}
}

func wantKnown(t *testing.T, policy *backupv1alpha1.BackupPolicy, uid string) error {
	t.Helper()
	var now backupv1alpha1.BackupPolicy
	if err := controlplane.NewClient(t).Get(t.Context(), client.ObjectKeyFromObject(policy), &now); err != nil {
		return err
	}
	if len(now.Status.Jobs) != 1 || now.Status.Jobs[0].UID != uid {
		return fmt.Errorf("known Jobs %+v, want %s", now.Status.Jobs, uid)
	}
	return nil
}
