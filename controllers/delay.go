// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// defaultStartGrace is how long a run may take to start before the status tells of it, unless Options say otherwise.
const defaultStartGrace = 2 * time.Minute

// maxPause is the longest time between two looks at a run that doesn't go on.
const maxPause = 15 * time.Minute

// delay is that a run which should be going on is not.
type delay struct {
	// subject is what it is about: a Job's name, or subjectSchedule. A delay is the same as one of before, and no news,
	// when subject and reason are.
	subject string
	reason  string
	// message is the cause, in Kubernetes' own words where it has any, and the fix.
	message string
}

// activeRun is a run that goes on, or should: a Job that is neither complete nor failed.
type activeRun struct {
	job  *batchv1.Job
	pods []corev1.Pod
}

// activeRuns are the runs among the Jobs that have not ended, oldest first.
func activeRuns(jobs []batchv1.Job, pods map[types.UID][]corev1.Pod) []activeRun {
	var runs []activeRun
	for i := range jobs {
		if jobCondition(&jobs[i], batchv1.JobComplete, batchv1.JobFailed) == nil {
			runs = append(runs, activeRun{job: &jobs[i], pods: pods[jobs[i].UID]})
		}
	}
	slices.SortFunc(runs, func(a, b activeRun) int {
		return cmp.Or(a.job.CreationTimestamp.Compare(b.job.CreationTimestamp.Time), cmp.Compare(a.job.Name, b.job.Name))
	})
	return runs
}

// jobCondition is the first condition of a Job that is True and of one of these types; nil if there is none.
func jobCondition(job *batchv1.Job, conditionTypes ...batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		c := &job.Status.Conditions[i]
		if c.Status == corev1.ConditionTrue && slices.Contains(conditionTypes, c.Type) {
			return c
		}
	}
	return nil
}

// namesOf are the names of the runs' Jobs.
func namesOf(runs []activeRun) []string {
	var names []string
	for _, run := range runs {
		names = append(names, run.job.Name)
	}
	return names
}

// delayOf is why the oldest run that should be going on is not; nil if all do. The delay that is known already, nil for
// none, tells what the cluster may have forgotten since.
func delayOf(
	runs []activeRun, said map[types.UID][]kubeEvent, known *delay, grace time.Duration, now time.Time,
) *delay {
	for i := range runs {
		if d := runs[i].delay(said, known, grace, now); d != nil {
			d.subject = runs[i].job.Name
			return d
		}
	}
	return nil
}

func (r *activeRun) delay(
	said map[types.UID][]kubeEvent, known *delay, grace time.Duration, now time.Time,
) *delay {
	pod := r.pod()
	since, idle := r.idleSince()
	waited := now.Sub(since)
	if pod != nil && nodeLost(pod, idle && waited >= grace) {
		return nodeLostDelay(pod)
	}
	if idle && waited >= grace {
		var d *delay
		switch {
		case pod == nil:
			d = r.noPod(saidSince(said[r.job.UID], since), waited >= 2*grace)
		case pod.DeletionTimestamp != nil:
			d = r.notStopped(pod)
		default:
			d = notStarted(pod, said[pod.UID], waited >= 2*grace)
		}
		if d != nil {
			return d
		}
	}
	if d := r.evicted(idle); d != nil {
		return d
	}
	if idle && known != nil && known.subject == r.job.Name {
		// Nothing says that it goes on again: its pod may have been deleted, and the next one be on its way or the Job ending.
		return known
	}
	return nil
}

// pod is the run's pod: the youngest that has not ended; nil if there is none.
func (r *activeRun) pod() *corev1.Pod {
	var youngest *corev1.Pod
	for i := range r.pods {
		pod := &r.pods[i]
		if !podEnded(pod) && (youngest == nil || youngest.CreationTimestamp.Before(&pod.CreationTimestamp)) {
			youngest = pod
		}
	}
	return youngest
}

func podEnded(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// idleSince is since when the run should be going on and isn't, or should have ended and hasn't. Idle is false while it
// goes on.
func (r *activeRun) idleSince() (since time.Time, idle bool) {
	pod := r.pod()
	switch {
	case pod == nil:
		since = r.job.CreationTimestamp.Time
		if started := r.job.Status.StartTime; started != nil && started.After(since) {
			since = started.Time
		}
		for i := range r.pods {
			since = latest(since, lastEnd(&r.pods[i]))
		}
		return since, true
	case pod.DeletionTimestamp != nil:
		// It lies ahead by the time that the pod has for ending.
		return pod.DeletionTimestamp.Time, true
	case pod.Status.Phase != corev1.PodPending:
		return time.Time{}, false
	}
	for i := range pod.Status.InitContainerStatuses {
		if s := &pod.Status.InitContainerStatuses[i]; s.State.Running != nil && !isSidecar(pod, s.Name) {
			return time.Time{}, false
		}
	}
	return latest(pod.CreationTimestamp.Time, lastEnd(pod)), true
}

// isSidecar says whether an init container is one that runs beside the others, and not before them.
func isSidecar(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
		return c.Name == name && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
	})
}

// lastEnd is when a container of the pod ended last; zero if none has.
func lastEnd(pod *corev1.Pod) time.Time {
	var last time.Time
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			if end := statuses[i].State.Terminated; end != nil {
				last = latest(last, end.FinishedAt.Time)
			}
		}
	}
	return last
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// noPod is why the run has no pod. Without a word from Kubernetes, there is time until it is overdue.
func (r *activeRun) noPod(said []kubeEvent, overdue bool) *delay {
	if e := newestOf(said, "FailedCreate"); e != nil {
		return &delay{reason: backupv1alpha1.ReasonPodRefused, message: fmt.Sprintf(
			"the run's pod was refused: %s: %s; Kubernetes tries again by itself", e.message, refusedFix(e.message))}
	}
	if suspend := r.job.Spec.Suspend; suspend != nil && *suspend {
		return &delay{reason: backupv1alpha1.ReasonPodNotStarted, message: "the Job is suspended, so it waits for whoever " +
			"queues Jobs in this cluster, Kueue for example, to let it start: look at kubectl -n " + r.job.Namespace +
			" describe job " + r.job.Name}
	}
	betweenTries := r.job.Status.Failed > 0 ||
		jobCondition(r.job, batchv1.JobFailureTarget, batchv1.JobSuccessCriteriaMet) != nil
	if betweenTries || !overdue {
		return nil
	}
	return &delay{reason: backupv1alpha1.ReasonPodNotStarted, message: "the Job has no pod, and Kubernetes does not say " +
		"why: look whether kube-controller-manager runs, and at kubectl -n " + r.job.Namespace + " describe job " + r.job.Name}
}

// notStopped is that the run's pod should be gone.
func (r *activeRun) notStopped(pod *corev1.Pod) *delay {
	why := "its end was asked for"
	if target := jobCondition(r.job, batchv1.JobFailureTarget); target != nil {
		why = fmt.Sprintf("the run failed (%s: %s)", target.Reason, target.Message)
	}
	return &delay{reason: backupv1alpha1.ReasonPodNotStopped, message: fmt.Sprintf(
		"%s, but pod %s on node %s can't be stopped, and no later run starts before it is gone: look whether the storage "+
			"that it uses answers, because a process that waits for a file server can't be killed; once it can't be helped, "+
			"restart the node, or kubectl -n %s delete pod %s --force", why, pod.Name, pod.Spec.NodeName, pod.Namespace, pod.Name)}
}

// evicted is that Kubernetes itself ended pods of the run: once, until the run goes on again, or several times. Pods that
// it ended because they used too much count as tries of the run that failed.
func (r *activeRun) evicted(idle bool) *delay {
	var last *corev1.Pod
	count := 0
	for i := range r.pods {
		if !disrupted(&r.pods[i]) {
			continue
		}
		count++
		if last == nil || last.CreationTimestamp.Before(&r.pods[i].CreationTimestamp) {
			last = &r.pods[i]
		}
	}
	if count == 0 || count == 1 && !idle {
		return nil
	}
	return &delay{reason: backupv1alpha1.ReasonEvicted, message: fmt.Sprintf(
		"pod %s was ended by Kubernetes: %s; the run is tried again by itself, however often that takes: give its pods a "+
			"job.priorityClassName, more memory in job.resources.requests, or a node that is not being drained",
		last.Name, endedBecause(last))}
}

// disrupted says whether Kubernetes ended a pod for the sake of others, for which the Job doesn't count it.
func disrupted(pod *corev1.Pod) bool {
	c := podCondition(pod, corev1.DisruptionTarget)
	return c != nil && c.Status == corev1.ConditionTrue
}

// endedBecause is why Kubernetes itself ended a pod, in its words; empty if it didn't.
func endedBecause(pod *corev1.Pod) string {
	if pod.Status.Reason == backupv1alpha1.ReasonEvicted {
		return oneLine(cmp.Or(pod.Status.Message, pod.Status.Reason))
	}
	if !disrupted(pod) {
		return ""
	}
	c := podCondition(pod, corev1.DisruptionTarget)
	return oneLine(cmp.Or(c.Message, c.Reason))
}

// lookAgainIn is when the policy must be looked at again although nothing tells of a change; 0 for never.
func (o *observation) lookAgainIn(status *backupv1alpha1.BackupPolicyStatus, now time.Time) time.Duration {
	return sooner(untilNextRun(status.NextScheduleTime, o, now), untilDelayed(activeRuns(o.jobs, o.pods), o.grace, now))
}

// untilNextRun is when the schedule has to be looked at again: a little after the next run should have started, or when
// the grace of one that is due is over.
func untilNextRun(next *metav1.Time, o *observation, now time.Time) time.Duration {
	switch {
	case next == nil:
		return 0
	case next.After(now):
		return next.Sub(now) + scheduleGrace
	default:
		return max(latest(next.Time, o.started).Add(o.grace).Sub(now), 0) + time.Second
	}
}

// untilDelayed is when runs that don't go on have to be looked at again: when their grace is over, and from then on now
// and then, because the cause may become another.
func untilDelayed(runs []activeRun, grace time.Duration, now time.Time) time.Duration {
	var soonest time.Duration
	for i := range runs {
		since, idle := runs[i].idleSince()
		if !idle {
			continue
		}
		in := pauseAfter(now.Sub(since), grace)
		if wait := since.Add(grace).Sub(now); wait > 0 {
			in = wait
		}
		soonest = sooner(soonest, in)
	}
	return soonest
}

// pauseAfter is how long to wait before looking again at what has waited so long: the longer, the more rarely, because
// thousands of runs may wait for one file server.
func pauseAfter(waited, grace time.Duration) time.Duration {
	return min(max(waited/2, grace/2), maxPause)
}

// sooner is the shorter of two times to wait, of which 0 is for ever.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
