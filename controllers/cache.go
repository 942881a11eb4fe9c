// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// CacheObjects bounds what the operator keeps in memory: of Jobs and pods only its own, and of all objects only what it
// reads, so that its memory follows the policies and not the cluster's size. What it knows of CronJobs, of claims, some
// tens of bytes whoever's they are, and of others' pods is in Mirrors.
func CacheObjects() map[client.Object]cache.ByObject {
	exists, err := labels.NewRequirement(backupv1alpha1.LabelPolicy, selection.Exists, nil)
	if err != nil {
		panic(err) // The label's name is a constant.
	}
	own := labels.NewSelector().Add(*exists)
	return map[client.Object]cache.ByObject{
		&backupv1alpha1.BackupPolicy{}: {Transform: reducePolicy(newSharer())},
		&batchv1.Job{}:                 {Transform: reduceJob, Label: own},
		&corev1.Pod{}:                  {Transform: reducePod, Label: own},
	}
}

// reducePolicy drops from a policy what nobody here reads: who set which field, and the copy of it that kubectl apply
// leaves. What many policies and their status say is kept once.
func reducePolicy(texts *sharer) toolscache.TransformFunc {
	return func(object any) (any, error) {
		policy, ok := object.(*backupv1alpha1.BackupPolicy)
		if !ok {
			return object, nil
		}
		policy.ManagedFields = nil
		delete(policy.Annotations, corev1.LastAppliedConfigAnnotation)
		if len(policy.Annotations) == 0 {
			policy.Annotations = nil
		}
		texts.share(&policy.Spec)
		texts.share(&policy.Status)
		return policy, nil
	}
}

// reduceJob drops from a Job what its pods are made of: what matters of it is how it goes.
func reduceJob(object any) (any, error) {
	job, ok := object.(*batchv1.Job)
	if !ok {
		return object, nil
	}
	job.ManagedFields = nil
	job.Spec = batchv1.JobSpec{Suspend: job.Spec.Suspend, ActiveDeadlineSeconds: job.Spec.ActiveDeadlineSeconds}
	return job, nil
}

// reducePod leaves of a run's pod where and how it is, which of its containers are sidecars, and what a message may name
// of them: image and limits.
func reducePod(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	pod.ManagedFields = nil
	pod.Spec = corev1.PodSpec{
		NodeName:       pod.Spec.NodeName,
		InitContainers: reduceContainers(pod.Spec.InitContainers),
		Containers:     reduceContainers(pod.Spec.Containers),
		ReadinessGates: pod.Spec.ReadinessGates,
	}
	pod.Status.HostIPs, pod.Status.PodIPs = nil, nil
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			s := &statuses[i]
			s.AllocatedResources, s.Resources, s.VolumeMounts, s.User = nil, nil, nil, nil
		}
	}
	return pod, nil
}

func reduceContainers(containers []corev1.Container) []corev1.Container {
	reduced := make([]corev1.Container, len(containers))
	for i, c := range containers {
		reduced[i] = corev1.Container{Name: c.Name, Image: c.Image, Resources: c.Resources, RestartPolicy: c.RestartPolicy}
	}
	return reduced
}
