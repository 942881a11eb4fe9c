// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"maps"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/report"
)

const (
	// runnerContainer is the name of the runner's container.
	runnerContainer = "backup"

	// startingDeadline is how late a run may start by default, in seconds. Without one, a CronJob that was held up for a
	// hundred of its times never starts again
	// (https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#starting-deadline).
	startingDeadline = 3600
	// activeDeadline is how long a run may take by default, in seconds: a day. A run that hangs, on a file server that
	// is gone for example, has to end some time, or else it would hold back all that come after it.
	activeDeadline = 24 * 3600
	// backoffLimit is how often a run is tried again by default.
	backoffLimit = 2
	// history is how many Jobs of either kind are kept, so that an operator that was away finds how they went.
	history = 3
)

// cronJobSuffix makes the name of a policy's CronJob.
const cronJobSuffix = "-backup"

// CronJobName is the name of a policy's CronJob. The CRD holds policies' names to a length for which this is valid.
func CronJobName(policy string) string { return policy + cronJobSuffix }

// BuildCronJob is the CronJob for a policy whose claims are such. Everything that a run needs is in it.
func BuildCronJob(
	policy *backupv1alpha1.BackupPolicy, schedule *Schedule, claims map[string]claim, options Options,
) *batchv1.CronJob {
	spec := &policy.Spec
	job := jobTemplate(spec)
	cronJob := &batchv1.CronJob{
		TypeMeta: metav1.TypeMeta{APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "CronJob"},
		ObjectMeta: metav1.ObjectMeta{
			Name:            CronJobName(policy.Name),
			Namespace:       policy.Namespace,
			Labels:          labelsFor(policy),
			OwnerReferences: []metav1.OwnerReference{ownerReference(policy)},
		},
		Spec: batchv1.CronJobSpec{
			Schedule:                   schedule.Line,
			Suspend:                    ptr.To(suspended(spec) || disabled(spec)),
			ConcurrencyPolicy:          batchv1.ForbidConcurrent,
			StartingDeadlineSeconds:    ptr.To(ptr.Deref(job.StartingDeadlineSeconds, startingDeadline)),
			SuccessfulJobsHistoryLimit: ptr.To[int32](history),
			FailedJobsHistoryLimit:     ptr.To[int32](history),
			JobTemplate: batchv1.JobTemplateSpec{
				ObjectMeta: jobMeta(policy),
				Spec: batchv1.JobSpec{
					BackoffLimit:          ptr.To(ptr.Deref(job.BackoffLimit, backoffLimit)),
					ActiveDeadlineSeconds: ptr.To(ptr.Deref(job.ActiveDeadlineSeconds, activeDeadline)),
					PodFailurePolicy:      podFailurePolicy(),
					Template:              corev1.PodTemplateSpec{ObjectMeta: templateMeta(policy), Spec: podSpec(policy, claims, options)},
				},
			},
		},
	}
	if clones(spec) {
		cronJob.Spec.JobTemplate.Spec.TTLSecondsAfterFinished = ptr.To[int32](cloneTTL)
	}
	if spec.TimeZone != "" {
		cronJob.Spec.TimeZone = ptr.To(spec.TimeZone)
	}
	markTemplate(&cronJob.Spec.JobTemplate)
	return cronJob
}

// podFailurePolicy doesn't count tries that Kubernetes itself cut short, and ends a Job at once when another try can't help.
// A crash of the runner, with which a Go program exits with 2, is neither, and is tried again.
func podFailurePolicy() *batchv1.PodFailurePolicy {
	return &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
		{
			Action: batchv1.PodFailurePolicyActionIgnore,
			OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{
				{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue},
			},
		},
		{
			Action: batchv1.PodFailurePolicyActionFailJob,
			OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
				ContainerName: ptr.To(runnerContainer),
				Operator:      batchv1.PodFailurePolicyOnExitCodesOpIn,
				Values:        []int32{report.ExitIncomplete, report.ExitInvalid},
			},
		},
	}}
}

func jobTemplate(spec *backupv1alpha1.BackupPolicySpec) backupv1alpha1.JobTemplate {
	if spec.Job == nil {
		return backupv1alpha1.JobTemplate{}
	}
	return *spec.Job
}

// templateMeta is the metadata of the Jobs and pods: the user's labels and annotations, and the operator's own labels
// over them.
func templateMeta(policy *backupv1alpha1.BackupPolicy) metav1.ObjectMeta {
	job := jobTemplate(&policy.Spec)
	labels := maps.Clone(job.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, labelsFor(policy))
	return metav1.ObjectMeta{Labels: labels, Annotations: job.Annotations}
}

// jobMeta is the metadata of the Jobs: that of the pods, and what tells later which settings a run was made with.
func jobMeta(policy *backupv1alpha1.BackupPolicy) metav1.ObjectMeta {
	m := templateMeta(policy)
	m.Annotations = maps.Clone(m.Annotations)
	metav1.SetMetaDataAnnotation(&m, backupv1alpha1.AnnotationBackupTarget, backupTarget(&policy.Spec))
	if target := syncTarget(&policy.Spec); target != "" {
		metav1.SetMetaDataAnnotation(&m, backupv1alpha1.AnnotationSyncTarget, target)
	}
	return m
}

// labelsFor are the labels on all that belongs to a policy, from
// https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/.
func labelsFor(policy *backupv1alpha1.BackupPolicy) map[string]string {
	return map[string]string{
		"app.kubernetes.io/name":       "backup",
		"app.kubernetes.io/instance":   policy.Name,
		"app.kubernetes.io/managed-by": string(FieldOwner),
		backupv1alpha1.LabelPolicy:     policy.Name,
	}
}

func ownerReference(policy *backupv1alpha1.BackupPolicy) metav1.OwnerReference {
	return *metav1.NewControllerRef(policy, backupv1alpha1.GroupVersion.WithKind("BackupPolicy"))
}
