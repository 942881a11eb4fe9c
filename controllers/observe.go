// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"
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

// observation is what the cluster holds that concerns one policy.
type observation struct {
	// cronJob is the CronJob under the policy's CronJob's name, whoever owns it; nil if there is none.
	cronJob *cronJobRecord
	// jobs are the Jobs of the policy's runs.
	jobs []batchv1.Job
	// lost are the Jobs of runs that were deleted before the status knew how they ended.
	lost []backupv1alpha1.KnownJob
	// pods are the pods of those Jobs, by the Job's UID.
	pods map[types.UID][]corev1.Pod
	// claims are the claims that runs of the policy mount, by name. One that does not exist is not in it.
	claims map[string]claim
	// said is what Kubernetes says in events, by the UID of the object that it is said of; only of what doesn't go on.
	said map[types.UID][]kubeEvent
	// deaf is why the operator may not read what Kubernetes says; empty if it may.
	deaf string
	// grace is how late a run may start before that is told.
	grace time.Duration
	// started is when the operator began to look; zero if that doesn't matter.
	started time.Time
}

// observe reads from memory everything that a reconciliation depends on.
func (r *BackupPolicyReconciler) observe(
	ctx context.Context, policy *backupv1alpha1.BackupPolicy,
) (observation, error) {
	o := observation{grace: cmp.Or(r.Options.StartGrace, DefaultStartGrace)}
	if r.started != nil {
		o.started = r.started()
	}
	o.cronJob = r.Mirrors.cronJobs.Get(cronJobKey(policy))
	own := []client.ListOption{client.InNamespace(policy.Namespace), client.MatchingFields{indexPolicy: policy.Name}}
	var jobs batchv1.JobList
	if err := r.List(ctx, &jobs, own...); err != nil {
		return o, fmt.Errorf("list the Jobs of policy %s/%s: %w", policy.Namespace, policy.Name, err)
	}
	o.jobs = jobsOfRuns(jobs.Items, o.cronJob, policy)
	if err := r.addUncached(ctx, policy, &o); err != nil {
		return o, err
	}
	var pods corev1.PodList
	if err := r.List(ctx, &pods, own...); err != nil {
		return o, fmt.Errorf("list the pods of policy %s/%s: %w", policy.Namespace, policy.Name, err)
	}
	o.pods = podsByJob(pods.Items)
	o.claims = r.Mirrors.claimsOf(policy)
	return o, nil
}

// jobsOfRuns are the Jobs that the policy's CronJob controls. That is how its schedule, runNow and kubectl create job --from
// make them; a label alone, which anybody may put on any Job, makes no run.
func jobsOfRuns(jobs []batchv1.Job, cronJob *cronJobRecord, policy *backupv1alpha1.BackupPolicy) []batchv1.Job {
	if cronJob == nil || !cronJob.ownedBy(policy) {
		return nil
	}
	return slices.DeleteFunc(jobs, func(job batchv1.Job) bool {
		controller := metav1.GetControllerOfNoCopy(&job)
		return controller == nil || controller.UID != cronJob.uid
	})
}

// addUncached asks the API server for the Jobs of runs that the status knows, that have not ended as far as it knows, and
// that the cache doesn't have. Those that are gone are lost; for the others, the cache is behind.
func (r *BackupPolicyReconciler) addUncached(
	ctx context.Context, policy *backupv1alpha1.BackupPolicy, o *observation,
) error {
	for _, known := range policy.Status.Jobs {
		isIt := func(j batchv1.Job) bool { return string(j.UID) == known.UID }
		if known.Ended || isReplaced(policy.Name, types.UID(known.UID), o.jobs) || slices.ContainsFunc(o.jobs, isIt) {
			continue
		}
		var job batchv1.Job
		err := r.APIReader.Get(ctx, client.ObjectKey{Namespace: policy.Namespace, Name: known.Name}, &job)
		switch {
		case client.IgnoreNotFound(err) != nil:
			return fmt.Errorf("get Job %s/%s: %w", policy.Namespace, known.Name, err)
		case err != nil || string(job.UID) != known.UID || metav1.GetControllerOfNoCopy(&job) == nil:
			o.lost = append(o.lost, known)
		default:
			o.jobs = append(o.jobs, job)
		}
	}
	return nil
}

// getCronJob gets the CronJob under the name of the policy's from the API server; nil if there is none.
func (r *BackupPolicyReconciler) getCronJob(
	ctx context.Context, policy *backupv1alpha1.BackupPolicy,
) (*batchv1.CronJob, error) {
	key := cronJobKey(policy)
	var cronJob batchv1.CronJob
	switch err := r.APIReader.Get(ctx, key, &cronJob); {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("get CronJob %s: %w", key, err)
	}
	return &cronJob, nil
}

func cronJobKey(policy *backupv1alpha1.BackupPolicy) types.NamespacedName {
	return types.NamespacedName{Namespace: policy.Namespace, Name: CronJobName(policy.Name)}
}

func podsByJob(pods []corev1.Pod) map[types.UID][]corev1.Pod {
	byJob := make(map[types.UID][]corev1.Pod)
	for _, pod := range pods {
		if owner := metav1.GetControllerOf(&pod); owner != nil {
			byJob[owner.UID] = append(byJob[owner.UID], pod)
		}
	}
	return byJob
}
