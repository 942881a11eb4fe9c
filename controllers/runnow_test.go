// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/test/controlplane"
)

// runNowPolicy is a policy in force, with nothing in runNow.
func runNowPolicy(t *testing.T) *backupv1alpha1.BackupPolicy {
	t.Helper()
	policy := apply(t, "testdata/minimal.yaml", namespace(t, "data", "backups"))
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	return policy
}

// ask sets spec.runNow.
func ask(t *testing.T, policy *backupv1alpha1.BackupPolicy, value string) {
	t.Helper()
	change(t, policy, func(s *backupv1alpha1.BackupPolicySpec) { s.RunNow = value })
}

// waitAnswer waits until the status answers with the value.
func waitAnswer(t *testing.T, policy *backupv1alpha1.BackupPolicy, value string) *backupv1alpha1.BackupPolicy {
	t.Helper()
	now := &backupv1alpha1.BackupPolicy{}
	eventually(t, func() error {
		if err := controlplane.NewClient(t).Get(t.Context(), client.ObjectKeyFromObject(policy), now); err != nil {
			return err
		}
		if now.Status.LastRunNow != value || now.Status.ObservedGeneration != now.Generation {
			return fmt.Errorf("lastRunNow is %q, want %q; %+v", now.Status.LastRunNow, value, now.Status.Conditions)
		}
		return nil
	})
	return now
}

// jobsOf are the Jobs in a policy's namespace, oldest first.
func jobsOf(t *testing.T, policy *backupv1alpha1.BackupPolicy) []batchv1.Job {
	t.Helper()
	var jobs batchv1.JobList
	if err := controlplane.NewClient(t).List(t.Context(), &jobs, client.InNamespace(policy.Namespace)); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(jobs.Items, func(a, b batchv1.Job) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return jobs.Items
}

// tokensOf are the values of runNow that the Jobs of a policy were made for, sorted.
func tokensOf(t *testing.T, policy *backupv1alpha1.BackupPolicy) []string {
	t.Helper()
	var tokens []string
	for _, job := range jobsOf(t, policy) {
		tokens = append(tokens, job.Annotations[backupv1alpha1.AnnotationRunNow])
	}
	slices.Sort(tokens)
	return tokens
}

func wantTokens(t *testing.T, policy *backupv1alpha1.BackupPolicy, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, tokensOf(t, policy)); diff != "" {
		t.Errorf("Jobs for values of runNow (-want +got):\n%s", diff)
	}
}

// endJob ends a Job as the Job controller does.
func endJob(t *testing.T, job *batchv1.Job) {
	t.Helper()
	now := metav1.Now()
	job.Status.StartTime, job.Status.CompletionTime, job.Status.Succeeded = &now, &now, 1
	job.Status.Conditions = jobConditions(now, batchv1.JobSuccessCriteriaMet, batchv1.JobComplete)
	if err := controlplane.NewClient(t).Status().Update(t.Context(), job); err != nil {
		t.Fatal(err)
	}
}

// reconcileAgain has the policy looked at a few times more, as it is when the operator restarts or tools apply again what
// is there already.
func reconcileAgain(t *testing.T, policy *backupv1alpha1.BackupPolicy) {
	t.Helper()
	for range 5 {
		_, err := reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(policy)})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRunNowStartsOneRun(t *testing.T) {
	policy := runNowPolicy(t)
	ask(t, policy, "ticket 4711")
	now := waitAnswer(t, policy, "ticket 4711")
	jobs := jobsOf(t, policy)
	if len(jobs) != 1 {
		t.Fatalf("%d Jobs, want 1", len(jobs))
	}
	job, cronJob := jobs[0], mustGetCronJob(t, policy)
	if !metav1.IsControlledBy(&job, cronJob) || ptr.Deref(job.OwnerReferences[0].BlockOwnerDeletion, false) {
		t.Errorf("owners %+v, want the CronJob, without blockOwnerDeletion", job.OwnerReferences)
	}
	template := cronJob.Spec.JobTemplate.Spec.Template.Spec
	if diff := cmp.Diff(template.Containers, job.Spec.Template.Spec.Containers); diff != "" {
		t.Errorf("the Job runs something else than the CronJob (-want +got):\n%s", diff)
	}
	if job.Annotations["cronjob.kubernetes.io/instantiate"] != "manual" || job.Labels[backupv1alpha1.LabelPolicy] != policy.Name {
		t.Errorf("annotations %v, labels %v", job.Annotations, job.Labels)
	}
	if !now.Status.LastRunNowTime.Equal(&job.CreationTimestamp) {
		t.Errorf("lastRunNowTime %v, the Job was made at %v", now.Status.LastRunNowTime, job.CreationTimestamp)
	}

	// The value stays, in Git for example: no other run, also not once this one has ended and its Job is gone.
	reconcileAgain(t, policy)
	endJob(t, &job)
	waitRun(t, policy, job.Name, "Succeeded", 0)
	reconcileAgain(t, policy)
	wantTokens(t, policy, "ticket 4711")
	background := client.PropagationPolicy(metav1.DeletePropagationBackground)
	if err := controlplane.NewClient(t).Delete(t.Context(), &job, background); err != nil {
		t.Fatal(err)
	}
	change(t, policy, func(s *backupv1alpha1.BackupPolicySpec) { s.TotalBackups = 3 })
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	reconcileAgain(t, policy)
	wantTokens(t, policy)
}

// TestRunNowComesBack: A, B and A again are three runs, also when all of them take no time.
func TestRunNowComesBack(t *testing.T) {
	policy := runNowPolicy(t)
	for _, value := range []string{"A", "B", "A", "B"} {
		ask(t, policy, value)
		waitAnswer(t, policy, value)
		for _, job := range jobsOf(t, policy) {
			if jobCondition(&job, batchv1.JobComplete, batchv1.JobFailed) == nil {
				endJob(t, &job)
			}
		}
	}
	wantTokens(t, policy, "A", "A", "B", "B")
	// Nothing is asked for by taking the value away.
	ask(t, policy, "")
	waitAnswer(t, policy, "B")
	wantTokens(t, policy, "A", "A", "B", "B")
}

// TestRunNowWaitsForTheRunThatGoesOn, also for one that somebody else has started.
func TestRunNowWaitsForTheRunThatGoesOn(t *testing.T) {
	policy := runNowPolicy(t)
	byHand := createJobFrom(t, mustGetCronJob(t, policy), "by-hand")
	ask(t, policy, "A")
	waitMessage(t, policy, `runNow "A" waits for the end of the run that goes on: by-hand`)
	// The value that it waits with may change: what counts is what is asked for when it can start.
	ask(t, policy, "B")
	waitMessage(t, policy, `runNow "B" waits for the end of the run that goes on: by-hand`)
	endJob(t, byHand)
	now := waitAnswer(t, policy, "B")
	wantTokens(t, policy, "", "B")
	if ready := meta.FindStatusCondition(now.Status.Conditions, "Ready"); strings.Contains(ready.Message, "runNow") {
		t.Errorf("message: %s", ready.Message)
	}
}

// waitMessage waits until Ready says something.
func waitMessage(t *testing.T, policy *backupv1alpha1.BackupPolicy, want string) {
	t.Helper()
	eventually(t, func() error {
		var now backupv1alpha1.BackupPolicy
		if err := controlplane.NewClient(t).Get(t.Context(), client.ObjectKeyFromObject(policy), &now); err != nil {
			return err
		}
		if ready := meta.FindStatusCondition(now.Status.Conditions, "Ready"); ready == nil || !strings.Contains(ready.Message, want) {
			return fmt.Errorf("Ready is %+v, want a message with %s", ready, want)
		}
		return nil
	})
}

func TestRunNowWhileSuspended(t *testing.T) {
	policy := runNowPolicy(t)
	change(t, policy, func(s *backupv1alpha1.BackupPolicySpec) { s.Suspend, s.RunNow = ptr.To(true), "A" })
	waitAnswer(t, policy, "A")
	wantTokens(t, policy, "A")
	waitReady(t, policy, metav1.ConditionTrue, "Suspended")
}

func TestRunNowWaitsWhileDisabled(t *testing.T) {
	policy := runNowPolicy(t)
	change(t, policy, func(s *backupv1alpha1.BackupPolicySpec) {
		s.ApplicationBackup.Enabled, s.RunNow = ptr.To(false), "A"
	})
	waitReady(t, policy, metav1.ConditionTrue, "Disabled")
	waitMessage(t, policy, `runNow "A" waits until one of them is enabled`)
	wantTokens(t, policy)
	change(t, policy, func(s *backupv1alpha1.BackupPolicySpec) { s.ApplicationBackup.Enabled = ptr.To(true) })
	waitAnswer(t, policy, "A")
	wantTokens(t, policy, "A")
}

// TestRunNowRunsWhatIsAsked: settings that are saved together with the value are those of the run, and bad ones keep it
// from starting with the old ones.
func TestRunNowRunsWhatIsAsked(t *testing.T) {
	policy := runNowPolicy(t)
	change(t, policy, func(s *backupv1alpha1.BackupPolicySpec) { s.Schedule, s.RunNow = "99 99 * * *", "A" })
	waitReady(t, policy, metav1.ConditionFalse, "InvalidSchedule")
	waitMessage(t, policy, `runNow "A" waits until this is mended`)
	wantTokens(t, policy)
	change(t, policy, func(s *backupv1alpha1.BackupPolicySpec) { s.Schedule, s.TotalBackups = "@daily", 2 })
	waitAnswer(t, policy, "A")
	wantTokens(t, policy, "A")
	if args := jobsOf(t, policy)[0].Spec.Template.Spec.Containers[0].Args; !slices.Contains(args, "--keep=2") {
		t.Errorf("the run has the old settings: %q", args)
	}
}

// TestRunNowOfANewPolicy waits for what the policy needs.
func TestRunNowOfANewPolicy(t *testing.T) {
	policy := readPolicy(t, "testdata/minimal.yaml")
	policy.Namespace, policy.UID = namespace(t, "backups"), ""
	policy.Spec.RunNow = "A"
	if err := controlplane.NewClient(t).Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	waitReady(t, policy, metav1.ConditionFalse, "ClaimNotFound")
	waitMessage(t, policy, `runNow "A" waits until this is mended`)
	wantTokens(t, policy)
	createClaim(t, policy.Namespace, "data")
	waitAnswer(t, policy, "A")
	wantTokens(t, policy, "A")
}

// TestRunNowThatIsRefused is told and tried again.
func TestRunNowThatIsRefused(t *testing.T) {
	policy := runNowPolicy(t)
	c := controlplane.NewClient(t)
	quota := noneOf(t, policy.Namespace, "count/jobs.batch")
	ask(t, policy, "A")
	waitMessage(t, policy, `runNow "A" waits until this is mended: the API server refused the Job that these settings make: `)
	waitMessage(t, policy, "exceeded quota: none")
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(policy)}
	if result, err := reconciler.Reconcile(t.Context(), request); err != nil || result.RequeueAfter != refusedPause {
		t.Errorf("tried again after %s (%v), want %s", result.RequeueAfter, err, refusedPause)
	}
	if err := c.Delete(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if _, err := reconciler.Reconcile(t.Context(), request); err != nil {
			return err
		}
		if n := len(jobsOf(t, policy)); n != 1 {
			return fmt.Errorf("%d Jobs, want 1", n)
		}
		return nil
	})
	waitAnswer(t, policy, "A")
}

// TestRunNowLeavesAStrangersJobAlone, which has taken the name.
func TestRunNowLeavesAStrangersJobAlone(t *testing.T) {
	policy := runNowPolicy(t)
	asked := policy.DeepCopy()
	asked.Spec.RunNow = "A"
	template := mustGetCronJob(t, policy).Spec.JobTemplate
	stranger := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: runNowName(asked), Namespace: policy.Namespace}, Spec: template.Spec,
	}
	c := controlplane.NewClient(t)
	if err := c.Create(t.Context(), stranger); err != nil {
		t.Fatal(err)
	}
	ask(t, policy, "A")
	waitMessage(t, policy, stranger.Name+" that is not this policy's is in the way")
	background := client.PropagationPolicy(metav1.DeletePropagationBackground)
	if err := c.Delete(t.Context(), stranger, background); err != nil {
		t.Fatal(err)
	}
	reconcileAgain(t, policy)
	waitAnswer(t, policy, "A")
	wantTokens(t, policy, "A")
}
