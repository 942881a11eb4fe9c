// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/report"
)

// endedRun is a run that ended: a Job that is complete or failed, or was deleted before.
type endedRun struct {
	job *batchv1.Job
	// succeeded is the Job's own verdict.
	succeeded bool
	// ended is when the Job ended, or when it was found to be deleted.
	ended metav1.Time
	// reason and message are the Job's own, for a run that failed.
	reason, message string
	// end is how the last pod ended.
	end podEnd
	// report is what the runner in it left; nil when it left none that is valid. What an earlier try said is not how the
	// run ended.
	report *report.Report
	// noReport is why there is no report although the runner ended.
	noReport error
}

// endedRuns are the runs among the Jobs that have ended, in the order in which they did as far as their times tell. Those
// are whole seconds of clocks that may be set back, so this order counts only among runs that are seen together first.
func endedRuns(jobs []batchv1.Job, pods map[types.UID][]corev1.Pod) []endedRun {
	var runs []endedRun
	for i := range jobs {
		if run, ok := endedRunOf(&jobs[i], pods[jobs[i].UID]); ok {
			runs = append(runs, run)
		}
	}
	slices.SortFunc(runs, func(a, b endedRun) int {
		return cmp.Or(a.ended.Compare(b.ended.Time), a.job.CreationTimestamp.Compare(b.job.CreationTimestamp.Time),
			cmp.Compare(a.job.Name, b.job.Name))
	})
	return runs
}

func endedRunOf(job *batchv1.Job, pods []corev1.Pod) (endedRun, bool) {
	condition := jobCondition(job, batchv1.JobComplete, batchv1.JobFailed)
	if condition == nil || stillRunning(pods) {
		return endedRun{}, false
	}
	run := endedRun{
		job: job, succeeded: condition.Type == batchv1.JobComplete, ended: condition.LastTransitionTime,
		reason: condition.Reason, message: condition.Message, end: lastPodEnd(pods),
	}
	if run.succeeded && job.Status.Succeeded > 0 && run.end.pod != nil && run.end.pod.Status.Phase != corev1.PodSucceeded {
		run.end = podEnd{} // The pod that succeeded is gone. Those that are left are earlier tries.
	}
	if run.end.container == runnerContainer {
		run.report, run.noReport = reportOf(job, run.end.end)
	}
	return run, true
}

// reportOf is the report that the runner of a Job left; an error if it left none, or one of another run, or one that its
// exit status contradicts.
func reportOf(job *batchv1.Job, end *corev1.ContainerStateTerminated) (*report.Report, error) {
	said, err := report.Decode(end.Message)
	if err != nil {
		return nil, err
	}
	policy := job.Namespace + "/" + job.Labels[backupv1alpha1.LabelPolicy]
	if run := runID(job); said.Policy != policy || said.Run != run {
		return nil, fmt.Errorf("it is of policy %q and run %q, not of %q and %q", said.Policy, said.Run, policy, run)
	}
	if said.Outcome == report.Succeeded && end.ExitCode != report.ExitSucceeded {
		return nil, fmt.Errorf("it says %s, which the exit status contradicts", said.Outcome)
	}
	reportInSettings(&said)
	return &said, nil
}

// runID is what the runner of a Job calls its run: see jobVariable.
func runID(job *batchv1.Job) string { return job.Name + "/" + string(job.UID) }

// lostRun is the run of a Job that was deleted before the status knew how it ended.
func lostRun(known backupv1alpha1.KnownJob, namespace string, now metav1.Time) endedRun {
	job := &batchv1.Job{}
	job.Name, job.Namespace, job.UID = known.Name, namespace, types.UID(known.UID)
	return endedRun{
		job: job, ended: now, reason: backupv1alpha1.ReasonJobDeleted,
		message: "the Job was deleted before it ended, or before the operator saw how it ended, so nothing shows that a " +
			"backup was made",
	}
}

// stillRunning says whether a pod of a Job has not ended as far as is known. Of a Job that has, this means that news of
// the pod are still to come, and with them the report.
func stillRunning(pods []corev1.Pod) bool {
	return slices.ContainsFunc(pods, func(pod corev1.Pod) bool { return !podEnded(&pod) })
}

// outcome weighs what the Job and the runner say: the worse of the two is true. A Job that ran into its deadline failed,
// whatever its runner thought; a runner that calls its backup incomplete is right, whatever its exit status was.
func (r *endedRun) outcome() backupv1alpha1.Outcome {
	switch {
	case r.report != nil && r.report.Outcome != report.Succeeded:
		return backupv1alpha1.Outcome(r.report.Outcome)
	case r.succeeded && (r.report != nil || r.podIsGone()):
		return backupv1alpha1.OutcomeSucceeded
	default:
		return backupv1alpha1.OutcomeFailed
	}
}

// podIsGone says that nothing is left of the pod of a Job that succeeded. The Job controller counted it as succeeded, which
// a pod is only when its runner's exit status was 0.
func (r *endedRun) podIsGone() bool { return r.end.pod == nil && r.job.Status.Succeeded > 0 }

// why is the reason and the message of the run's outcome. The delay that was told last may say what the run waited for.
func (r *endedRun) why(delayed *delay) (reason, message string) {
	outcome := r.outcome()
	switch {
	case r.report != nil && string(r.report.Outcome) == string(outcome) && !r.interrupted():
		fallback := backupv1alpha1.ReasonFailed
		if outcome == backupv1alpha1.OutcomeSucceeded {
			fallback = backupv1alpha1.ReasonSucceeded
		}
		return cmp.Or(string(r.report.Reason), fallback), r.report.Message
	case outcome == backupv1alpha1.OutcomeSucceeded:
		return backupv1alpha1.ReasonSucceeded, "the Job succeeded, so its runner ended with exit status 0; its pod was gone " +
			"before the report could be read, so the run's figures are unknown"
	default:
		return r.verdict(delayed)
	}
}

func reasonOf(run *endedRun) string {
	reason, _ := run.why(nil)
	return validReason(reason)
}

// asRun is the run as the status shows it.
func (r *endedRun) asRun(delayed *delay) *backupv1alpha1.Run {
	reason, message := r.why(delayed)
	run := &backupv1alpha1.Run{
		Job: r.job.Name, JobUID: string(r.job.UID), Outcome: r.outcome(), Message: cut(message, maxConditionMessage),
		StartTime: r.job.Status.StartTime, CompletionTime: &r.ended, ReportMissing: r.report == nil,
	}
	if run.Outcome != backupv1alpha1.OutcomeSucceeded {
		run.Reason = validReason(reason)
	}
	if run.StartTime != nil {
		run.Duration = &metav1.Duration{Duration: max(run.CompletionTime.Sub(run.StartTime.Time), 0)}
	}
	if r.report != nil {
		addFigures(run, r.report)
	}
	return run
}

func addFigures(run *backupv1alpha1.Run, said *report.Report) {
	if a := said.Archive; a != nil {
		run.Archive, run.BytesRead, run.BytesWritten, run.Files = a.Name, &a.BytesRead, &a.BytesWritten, &a.Files
		addReuse(run, a.Reuse)
	}
	for _, f := range said.Findings {
		run.Findings = append(run.Findings, backupv1alpha1.Finding{Reason: string(f.Reason), Message: f.Message})
	}
	if w := said.Warnings; w != nil {
		run.Warnings, run.WarningMessages = &w.Count, w.First
	}
	if s := said.Sync; s != nil {
		run.BytesSent = &s.BytesSent
	}
}

// addReuse takes over what became of the archive's bytes, where that is known.
func addReuse(run *backupv1alpha1.Run, reuse *report.Reuse) {
	if reuse == nil {
		return
	}
	run.BytesNew, run.BytesReused = &reuse.NewBytes, &reuse.ReusedBytes
	run.BytesShared, run.BytesVerified = &reuse.SharedBytes, &reuse.VerifiedBytes
	if reuse.ReusedBytes > 0 {
		run.ReusedFrom, run.ReuseMethod = reuse.Previous, enumValue(string(reuse.Method))
	}
}

// enumValue is a word as values of Kubernetes' APIs are written. The word comes from a runner that may be newer than the
// operator, so it may be any.
func enumValue(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + word[1:]
}
