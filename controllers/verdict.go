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
		if last.pod == nil || endedBefore(last.pod, &pods[i]) {
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

// endedBefore says whether a pod of a Job ended before another. After one that succeeded there is none. Two may be made in
// one second.
func endedBefore(a, b *corev1.Pod) bool {
	if succeeded := b.Status.Phase == corev1.PodSucceeded; succeeded != (a.Status.Phase == corev1.PodSucceeded) {
		return succeeded
	}
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), lastEnd(a).Compare(lastEnd(b))) < 0
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
	case r.reason == backupv1alpha1.ReasonJobDeleted:
		return r.reason, r.message
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
	case r.report != nil:
		return cmp.Or(r.reason, backupv1alpha1.ReasonFailed), fmt.Sprintf(
			"the runner reported success (%s), but the Job failed: %s; another container of pod %s may have: look at "+
				"kubectl -n %s describe pod %s", r.report.Message, r.message, r.end.pod.Name, r.job.Namespace, r.end.pod.Name)
	case r.end.end != nil:
		return r.noReportReason(), fmt.Sprintf(
			"the runner ended with exit status %d (%s) without a valid report: %s: nothing shows that a backup was made; look "+
				"at kubectl -n %s logs job/%s",
			r.end.end.ExitCode, r.end.end.Reason, oneLine(r.noReport.Error()), r.job.Namespace, r.job.Name)
	case r.succeeded:
		return backupv1alpha1.ReasonNoReport, fmt.Sprintf(
			"the Job is complete, but no pod shows that its runner ended, so nothing shows that a backup was made; look at "+
				"kubectl -n %s describe job %s", r.job.Namespace, r.job.Name)
	default:
		return cmp.Or(r.reason, backupv1alpha1.ReasonFailed), fmt.Sprintf(
			"%s; look at kubectl -n %s describe job %s", r.message, r.job.Namespace, r.job.Name)
	}
}

// noReportReason is Kubernetes' own word for the runner's end, unless that only says that it has ended.
func (r *endedRun) noReportReason() string {
	switch reason := r.end.end.Reason; reason {
	case "", "Completed", "Error":
		return backupv1alpha1.ReasonNoReport
	default:
		return reason
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
