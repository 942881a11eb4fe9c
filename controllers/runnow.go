// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// annotationInstantiate marks a Job that was made from a CronJob but not by its schedule, as kubectl create job does.
const annotationInstantiate = "cronjob.kubernetes.io/instantiate"

// runNowAnswer is what became of spec.runNow in one reconciliation.
type runNowAnswer struct {
	// job is the Job of the run that was started for the value; nil if none was.
	job *batchv1.Job
	// value is that value.
	value string
	// at is what status.lastRunNowTime is to be.
	at metav1.Time
}

// runNow starts the run that spec.runNow asks for, unless the status says that it was started already. It adds to the
// readiness what a run that was not started waits for. The error is a passing fault.
//
// The Job's name follows from what the status said before the run, and the status is written after the Job. So an
// operator that dies between the two finds that the name is taken, and doesn't start a second run.
func (r *BackupPolicyReconciler) runNow(
	ctx context.Context, policy *backupv1alpha1.BackupPolicy, state *readiness, seen observation,
) (runNowAnswer, error) {
	var none runNowAnswer
	if !runNowAsked(policy) {
		return none, nil
	}
	*state = withObstacles(*state, &policy.Spec, seen.claims)
	if wait := runNowWaits(policy, *state, seen.jobs); wait != "" {
		state.message += fmt.Sprintf("; runNow %q waits %s", policy.Spec.RunNow, wait)
		return none, nil
	}
	now, job, wait, err := r.startRunNow(ctx, policy)
	if isRefused(err) {
		wait, err = "until this is mended: "+refusal("Job", err).message, nil
	}
	if err != nil {
		return none, fmt.Errorf("start the run of runNow %q: %w", policy.Spec.RunNow, err)
	}
	if wait != "" {
		state.message += fmt.Sprintf("; runNow %q waits %s", policy.Spec.RunNow, wait)
		state.retryAfter = refusedPause
		return none, nil
	}
	if job == nil {
		return none, nil
	}
	return runNowAnswer{job, now.Spec.RunNow, strictlyAfter(job.CreationTimestamp, now.Status.LastRunNowTime)}, nil
}

// startRunNow reads what a run is started from and starts it. The Job is nil when the cache turns out to be behind.
func (r *BackupPolicyReconciler) startRunNow(ctx context.Context, cached *backupv1alpha1.BackupPolicy) (
	policy *backupv1alpha1.BackupPolicy, job *batchv1.Job, wait string, err error,
) {
	policy, cronJob, err := r.readForRunNow(ctx, cached)
	if err != nil || cronJob == nil {
		return nil, nil, "", err
	}
	job, wait, err = r.createRunNow(ctx, policy, cronJob)
	return policy, job, wait, err
}

// runNowAsked says whether the policy asks for a run that its status doesn't know of.
func runNowAsked(policy *backupv1alpha1.BackupPolicy) bool {
	return policy.Spec.RunNow != "" && policy.Spec.RunNow != policy.Status.LastRunNow
}

// runNowWaits says what a run has to wait for before it can be started; empty if for nothing.
func runNowWaits(policy *backupv1alpha1.BackupPolicy, state readiness, jobs []batchv1.Job) string {
	switch active := unfinishedBut(runNowName(policy), jobs); {
	case disabled(&policy.Spec):
		return "until one of them is enabled"
	case state.status != metav1.ConditionTrue:
		return "until this is mended"
	case len(active) > 0:
		return "for the end of the run that goes on: " + strings.Join(active, ", ")
	}
	return ""
}

// unfinishedBut are the names of the Jobs that have not ended, but for one.
func unfinishedBut(own string, jobs []batchv1.Job) []string {
	var names []string
	for i := range jobs {
		if jobs[i].Name != own && jobCondition(&jobs[i], batchv1.JobComplete, batchv1.JobFailed) == nil {
			names = append(names, jobs[i].Name)
		}
	}
	return names
}

// readForRunNow reads from the API server itself what a run is started from, because a cache that is behind would start
// a second one. The CronJob is nil when the cache turns out to be behind: what it will catch up with brings the policy
// here again.
func (r *BackupPolicyReconciler) readForRunNow(
	ctx context.Context, cached *backupv1alpha1.BackupPolicy,
) (*backupv1alpha1.BackupPolicy, *batchv1.CronJob, error) {
	var policy backupv1alpha1.BackupPolicy
	if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(cached), &policy); err != nil {
		return nil, nil, client.IgnoreNotFound(err)
	}
	if policy.UID != cached.UID || policy.Generation != cached.Generation || !policy.DeletionTimestamp.IsZero() ||
		!runNowAsked(&policy) {
		return nil, nil, nil
	}
	var jobs batchv1.JobList
	err := r.APIReader.List(ctx, &jobs, client.InNamespace(policy.Namespace),
		client.MatchingLabels{backupv1alpha1.LabelPolicy: policy.Name})
	if err != nil {
		return nil, nil, fmt.Errorf("list the Jobs of policy %s/%s: %w", policy.Namespace, policy.Name, err)
	}
	cronJob, err := r.getCronJob(ctx, &policy)
	if err != nil || cronJob == nil || !metav1.IsControlledBy(cronJob, &policy) {
		return nil, nil, err
	}
	runs := jobsOfRuns(jobs.Items, cronJobRecordOf(cronJob), &policy)
	if len(unfinishedBut(runNowName(&policy), runs)) > 0 {
		return nil, nil, nil
	}
	return &policy, cronJob, nil
}

// createRunNow creates the Job of a run, or finds it where it was created before. Where it can't be, it says what the
// run has to wait for.
func (r *BackupPolicyReconciler) createRunNow(
	ctx context.Context, policy *backupv1alpha1.BackupPolicy, cronJob *batchv1.CronJob,
) (job *batchv1.Job, wait string, err error) {
	job = buildRunNow(policy, cronJob)
	switch err := r.Create(ctx, job, FieldOwner); {
	case err == nil:
		return job, "", nil
	case !apierrors.IsAlreadyExists(err):
		return nil, "", err
	}
	var before batchv1.Job
	if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(job), &before); err != nil {
		return nil, "", err
	}
	if !metav1.IsControlledBy(&before, cronJob) {
		return nil, fmt.Sprintf("because a Job %s that is not this policy's is in the way: delete it", job.Name), nil
	}
	return &before, "", nil
}

// buildRunNow is the Job of a run that runNow asks for.
func buildRunNow(policy *backupv1alpha1.BackupPolicy, cronJob *batchv1.CronJob) *batchv1.Job {
	return jobFrom(cronJob, runNowName(policy), map[string]string{backupv1alpha1.AnnotationRunNow: policy.Spec.RunNow})
}

// jobFrom is a Job with these annotations besides, as kubectl create job --from makes one of the CronJob. That the
// CronJob's deletion doesn't wait for the Job's (blockOwnerDeletion) is as there too: it would take the right to update
// finalizers.
func jobFrom(cronJob *batchv1.CronJob, name string, besides map[string]string) *batchv1.Job {
	template := cronJob.Spec.JobTemplate.DeepCopy()
	annotations := map[string]string{}
	maps.Copy(annotations, template.Annotations)
	annotations[annotationInstantiate] = "manual"
	maps.Copy(annotations, besides)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Namespace:   cronJob.Namespace,
			Labels:      template.Labels,
			Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "CronJob",
				Name: cronJob.Name, UID: cronJob.UID, Controller: ptr.To(true),
			}},
		},
		Spec: template.Spec,
	}
}

// runNowName is the name of the Job for the value of spec.runNow after the last one that was answered. The time of that
// one is in it, so that a value which comes back after another one starts another run.
func runNowName(policy *backupv1alpha1.BackupPolicy) string {
	var last string
	if at := policy.Status.LastRunNowTime; at != nil {
		last = at.UTC().Format(time.RFC3339)
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{string(policy.UID), policy.Spec.RunNow, last}, "\x00")))
	return policy.Name + "-now-" + hex.EncodeToString(sum[:5])
}

// strictlyAfter is the time, or a second after the last one where that is later: times in the status are whole seconds,
// and two that are the same would give two runs one name.
func strictlyAfter(at metav1.Time, last *metav1.Time) metav1.Time {
	if last != nil && !last.Before(&at) {
		return metav1.NewTime(last.Add(time.Second))
	}
	return at
}

// runNowNews is that a run was started because spec.runNow asked for it.
func runNowNews(before, after *backupv1alpha1.BackupPolicyStatus) *news {
	if after.LastRunNowTime == nil || before.LastRunNowTime.Equal(after.LastRunNowTime) {
		return nil
	}
	return &news{corev1.EventTypeNormal, "BackupStarted", actionBackup,
		fmt.Sprintf("a backup was started for runNow %q", after.LastRunNow),
		"runNow " + after.LastRunNowTime.UTC().Format(time.RFC3339)}
}

// withJob are the Jobs, with one that was made just now among them; nil for none.
func withJob(jobs []batchv1.Job, made *batchv1.Job) []batchv1.Job {
	if made == nil || slices.ContainsFunc(jobs, func(j batchv1.Job) bool { return j.UID == made.UID }) {
		return jobs
	}
	return append(slices.Clip(jobs), *made)
}

// into writes the answer into the status.
func (a runNowAnswer) into(status *backupv1alpha1.BackupPolicyStatus) {
	if a.job != nil {
		status.LastRunNow, status.LastRunNowTime = a.value, &a.at
	}
}
