// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/report"
)

// podEnd is how the pod ended that was a run's last.
type podEnd struct {
	// pod is nil when none is left.
	pod *corev1.Pod
	// container is the one that says how: the runner's, or an init container that failed before it; empty if none ran.
	container string
	// end is how that ended; nil if none ran.
	end *corev1.ContainerStateTerminated
}

// lastPodEnd is how the last of a Job's pods ended.
func lastPodEnd(pods []corev1.Pod) podEnd {
	var last podEnd
	for i := range pods {
		if last.pod == nil || cmp.Or(last.pod.CreationTimestamp.Compare(pods[i].CreationTimestamp.Time),
			lastEnd(last.pod).Compare(lastEnd(&pods[i]))) < 0 {
			last.pod = &pods[i]
		}
	}
	if last.pod == nil {
		return last
	}
	for i := range last.pod.Status.ContainerStatuses {
		status := &last.pod.Status.ContainerStatuses[i]
		if end := status.State.Terminated; end != nil && status.Name == runnerContainer {
			return podEnd{last.pod, status.Name, end}
		}
	}
	for i := range last.pod.Status.InitContainerStatuses {
		status := &last.pod.Status.InitContainerStatuses[i]
		if end := status.State.Terminated; end != nil && end.ExitCode != 0 {
			return podEnd{last.pod, status.Name, end}
		}
	}
	return last
}

// disruptedBy is why Kubernetes itself ended the run's last pod, in its words; empty if it didn't.
func (r *endedRun) disruptedBy() string {
	if r.end.pod == nil {
		return ""
	}
	return endedBecause(r.end.pod)
}

// interrupted says whether Kubernetes ended the run for a reason of its own, which it knows and the runner, which was only
// told to stop, doesn't.
func (r *endedRun) interrupted() bool {
	return r.report.Reason == report.ReasonInterrupted &&
		(r.reason == batchv1.JobReasonDeadlineExceeded || r.disruptedBy() != "")
}

// verdict is the reason and the message of a run that failed, in Kubernetes' words and with the fix. What the run was
// waiting for, if it was, is in the delay that was told last.
func (r *endedRun) verdict(delayed *delay) (reason, message string) {
	evicted := r.disruptedBy()
	switch {
	case r.reason == batchv1.JobReasonDeadlineExceeded:
		return r.reason, r.deadlineExceeded(delayed)
	case evicted != "":
		return backupv1alpha1.ReasonEvicted, fmt.Sprintf(
			"Kubernetes ended the run's pod %s: %s: raise what it names, or give the node room", r.end.pod.Name, evicted)
	case r.end.end != nil && r.end.end.Reason == backupv1alpha1.ReasonOOMKilled:
		return backupv1alpha1.ReasonOOMKilled, r.outOfMemory()
	case r.end.end != nil && r.end.container != runnerContainer:
		return cmp.Or(r.reason, backupv1alpha1.ReasonFailed), fmt.Sprintf(
			"the init container %s ended with exit code %d (%s), so no backup was made: look at kubectl -n %s logs job/%s -c %s",
			r.end.container, r.end.end.ExitCode, said(r.end.end), r.job.Namespace, r.job.Name, r.end.container)
	case r.end.end != nil:
		return cmp.Or(r.end.end.Reason, r.reason, backupv1alpha1.ReasonFailed), fmt.Sprintf(
			"the runner ended with exit code %d (%s) and left no report; the Job says: %s; look at kubectl -n %s logs job/%s",
			r.end.end.ExitCode, r.end.end.Reason, r.message, r.job.Namespace, r.job.Name)
	default:
		return cmp.Or(r.reason, backupv1alpha1.ReasonFailed), fmt.Sprintf(
			"%s; look at kubectl -n %s describe job %s", r.message, r.job.Namespace, r.job.Name)
	}
}

// said are the last words of a container, or Kubernetes' word for its end.
func said(end *corev1.ContainerStateTerminated) string {
	if end.Message != "" {
		return oneLine(end.Message)
	}
	return end.Reason
}

func (r *endedRun) deadlineExceeded(delayed *delay) string {
	limit := "job.activeDeadlineSeconds"
	if seconds := r.job.Spec.ActiveDeadlineSeconds; seconds != nil {
		limit += fmt.Sprintf(" (%d)", *seconds)
	}
	if r.report == nil && delayed != nil && delayed.subject == r.job.Name {
		return fmt.Sprintf("the run had not got on when %s was over: %s: %s", limit, delayed.reason, delayed.message)
	}
	return fmt.Sprintf("the run took longer than %s and was ended: raise that, or look why it takes so long: kubectl -n %s "+
		"describe job %s", limit, r.job.Namespace, r.job.Name)
}

func (r *endedRun) outOfMemory() string {
	if r.end.container != runnerContainer {
		return fmt.Sprintf("the init container %s was killed because it needed more memory than its limit: raise "+
			"resources.limits.memory of it in job.initContainers", r.end.container)
	}
	limit := ""
	for i := range r.end.pod.Spec.Containers {
		c := &r.end.pod.Spec.Containers[i]
		if memory, ok := c.Resources.Limits[corev1.ResourceMemory]; ok && c.Name == runnerContainer {
			limit = " of " + memory.String()
		}
	}
	return fmt.Sprintf("the runner was killed because it needed more memory than its limit%s: raise "+
		"job.resources.limits.memory", limit)
}
