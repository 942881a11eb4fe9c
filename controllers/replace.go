// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// A Job keeps the settings that it was made with. One that can't start because of them would hold back all later runs
// until its deadline, a day, although the settings have long been corrected. So a run that has never started, and whose
// template is no longer the policy's, is replaced by one with the present settings.
//
// The new Job is created before the old one is deleted, under a name that follows from the old one. So an operator that
// dies in between loses no run, and finds when it is back that only the deletion is left to do.

// markTemplate writes into a template which template it is, so that each Job says what it was made from. Comparing Jobs
// themselves would not do, because others add to them: a queue of Jobs, an admission webhook.
func markTemplate(template *batchv1.JobTemplateSpec) {
	sum := sha256.New()
	// Neither Kubernetes' own types nor a hash can fail.
	_ = json.NewEncoder(sum).Encode(template)
	template.Annotations = maps.Clone(template.Annotations) // The policy's own.
	metav1.SetMetaDataAnnotation(&template.ObjectMeta, backupv1alpha1.AnnotationTemplate, hex.EncodeToString(sum.Sum(nil)[:8]))
}

// replaceOutdated replaces the run that waits with settings that are no longer the policy's, if there is one, and returns
// the Jobs as they are then.
func (r *BackupPolicyReconciler) replaceOutdated(
	ctx context.Context, policy *backupv1alpha1.BackupPolicy, state *readiness, seen observation, now time.Time,
) ([]batchv1.Job, error) {
	next, err := r.replaceOutdatedRun(ctx, policy, state, seen, now)
	jobs := withJob(seen.jobs, next)
	return withoutReplaced(policy.Name, jobs, seen.pods), err
}

// replaceOutdatedRun returns the Job that it has made in place of another one; nil if it has made none.
func (r *BackupPolicyReconciler) replaceOutdatedRun(
	ctx context.Context, policy *backupv1alpha1.BackupPolicy, state *readiness, seen observation, now time.Time,
) (*batchv1.Job, error) {
	if withObstacles(*state, &policy.Spec, seen.claims).status != metav1.ConditionTrue || disabled(&policy.Spec) {
		return nil, nil // The new run couldn't start either.
	}
	run := outdatedRun(state.template, seen, knownDelay(&policy.Status), now)
	if run == nil {
		return nil, nil
	}
	next, err := r.replace(ctx, policy, state.template, run.job)
	if isRefused(err) {
		state.message += fmt.Sprintf("; the run %s has earlier settings and can't be replaced: %s", run.job.Name,
			refusal("Job", err).message)
		state.retryAfter = refusedPause
		return nil, nil
	}
	return next, err
}

// outdatedRun is a run that should be in progress, has never started, and was made from another template; nil if there is
// none.
func outdatedRun(template string, seen observation, known *delay, now time.Time) *activeRun {
	runs := activeRuns(seen.jobs, seen.pods)
	for i := range runs {
		run := &runs[i]
		since, idle := run.idleSince()
		isDelayed := idle && (now.Sub(since) >= seen.grace || known != nil && known.subject == run.job.Name)
		if isDelayed && seen.cronJob != nil && isOutdated(run.job, seen.cronJob.uid, template) && neverStarted(run.job, run.pods) {
			return run
		}
	}
	return nil
}

// isOutdated reports whether a CronJob's Job was made from a template other than this one. Of a Job that doesn't say what it
// was made from, nothing is known.
func isOutdated(job *batchv1.Job, cronJob types.UID, template string) bool {
	owner := metav1.GetControllerOf(job)
	from := job.Annotations[backupv1alpha1.AnnotationTemplate]
	return owner != nil && owner.UID == cronJob && job.DeletionTimestamp.IsZero() && from != "" && from != template
}

// neverStarted reports whether no container of a Job has ever started.
func neverStarted(job *batchv1.Job, pods []corev1.Pod) bool {
	if job.Status.Failed > 0 || job.Status.Succeeded > 0 {
		return false
	}
	return !slices.ContainsFunc(pods, func(pod corev1.Pod) bool {
		started := func(s corev1.ContainerStatus) bool {
			return s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Terminated != nil ||
				s.RestartCount > 0
		}
		return podEnded(&pod) || slices.ContainsFunc(pod.Status.InitContainerStatuses, started) ||
			slices.ContainsFunc(pod.Status.ContainerStatuses, started)
	})
}

// replace makes a Job of the present settings and deletes the one that it replaces. It returns nil if the cache turns out
// to be behind, so that there is nothing to replace.
func (r *BackupPolicyReconciler) replace(
	ctx context.Context, policy *backupv1alpha1.BackupPolicy, template string, cached *batchv1.Job,
) (*batchv1.Job, error) {
	old, err := r.readForReplace(ctx, policy, cached)
	if err != nil || old == nil {
		return nil, err
	}
	cronJob, err := r.getCronJob(ctx, policy)
	if err != nil || cronJob == nil || !metav1.IsControlledBy(cronJob, policy) ||
		cronJob.Spec.JobTemplate.Annotations[backupv1alpha1.AnnotationTemplate] != template {
		return nil, err
	}
	next := buildReplacement(policy, cronJob, old)
	if err := r.Create(ctx, next, FieldOwner); apierrors.IsAlreadyExists(err) {
		if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(next), next); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, fmt.Errorf("replace the run %s: %w", old.Name, err)
	}
	err = r.Delete(ctx, old, client.PropagationPolicy(metav1.DeletePropagationBackground),
		client.Preconditions{UID: &old.UID, ResourceVersion: &old.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("replace the run %s: %w", old.Name, err)
	}
	_ = r.emit(ctx, policy, []news{{corev1.EventTypeNormal, "BackupReplaced", actionBackup, fmt.Sprintf(
		"%s never started and had earlier settings: %s replaces it", old.Name, next.Name), "replaced " + string(old.UID)}})
	return next, nil
}

// readForReplace reads from the API server itself whether a run has still not started; nil if that isn't so.
func (r *BackupPolicyReconciler) readForReplace(
	ctx context.Context, policy *backupv1alpha1.BackupPolicy, cached *batchv1.Job,
) (*batchv1.Job, error) {
	var job batchv1.Job
	if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(cached), &job); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if job.UID != cached.UID || !job.DeletionTimestamp.IsZero() ||
		jobCondition(&job, batchv1.JobComplete, batchv1.JobFailed) != nil {
		return nil, nil
	}
	var pods corev1.PodList
	err := r.APIReader.List(ctx, &pods, client.InNamespace(policy.Namespace),
		client.MatchingLabels{backupv1alpha1.LabelPolicy: policy.Name})
	if err != nil {
		return nil, fmt.Errorf("list the pods of policy %s/%s: %w", policy.Namespace, policy.Name, err)
	}
	if !neverStarted(&job, podsByJob(pods.Items)[job.UID]) {
		return nil, nil
	}
	return &job, nil
}

// buildReplacement is the Job that replaces another one: of the present settings, and for the same value of runNow.
func buildReplacement(policy *backupv1alpha1.BackupPolicy, cronJob *batchv1.CronJob, old *batchv1.Job) *batchv1.Job {
	annotations := map[string]string{backupv1alpha1.AnnotationReplaces: old.Name}
	if value, ok := old.Annotations[backupv1alpha1.AnnotationRunNow]; ok {
		annotations[backupv1alpha1.AnnotationRunNow] = value
	}
	return jobFrom(cronJob, replacementName(policy.Name, old.UID), annotations)
}

func replacementName(policy string, old types.UID) string {
	sum := sha256.Sum256([]byte(old))
	return policy + "-again-" + hex.EncodeToString(sum[:5])
}

// isReplaced reports whether among the Jobs is one that replaces the Job of this UID.
func isReplaced(policy string, old types.UID, jobs []batchv1.Job) bool {
	name := replacementName(policy, old)
	return slices.ContainsFunc(jobs, func(job batchv1.Job) bool { return job.Name == name })
}

// withoutReplaced are the Jobs without those that have been replaced, and whose deletion has not been heard of yet.
func withoutReplaced(policy string, jobs []batchv1.Job, pods map[types.UID][]corev1.Pod) []batchv1.Job {
	return slices.DeleteFunc(slices.Clone(jobs), func(job batchv1.Job) bool {
		return isReplaced(policy, job.UID, jobs) && neverStarted(&job, pods[job.UID]) &&
			jobCondition(&job, batchv1.JobComplete, batchv1.JobFailed) == nil
	})
}
