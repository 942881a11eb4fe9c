// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// readiness is how far the settings are in force.
type readiness struct {
	// status is that of the condition Ready.
	status metav1.ConditionStatus
	// beside is the type of the condition that is True beside a Ready that is not: Stalled or Reconciling.
	beside string
	reason string
	// message is for people.
	message string
	// schedule is the effective schedule; nil when spec.schedule has none.
	schedule *Schedule
	// applied says that the CronJob is as the policy wants it, and not as its previous settings did.
	applied bool
	// template is the template of Jobs that is in effect; empty if that is not known.
	template string
	// scheduled says that the schedule starts runs.
	scheduled bool
	// isNew says that the CronJob was made just now.
	isNew bool
	// retryAfter is when to try again what only others can mend, and of which nothing tells; 0 for never.
	retryAfter time.Duration
}

// inForce is the readiness of a policy whose CronJob is as it should be.
func inForce(policy *backupv1alpha1.BackupPolicy, schedule *Schedule) readiness {
	r := readiness{status: metav1.ConditionTrue, schedule: schedule, applied: true}
	switch spec := &policy.Spec; {
	case disabled(spec):
		r.reason, r.message = backupv1alpha1.ReasonDisabled, "both backups are disabled, so none is made: set enabled in "+
			"applicationBackup or sessionsBackup to true to have some"
	case suspended(spec):
		r.reason, r.message = backupv1alpha1.ReasonSuspended, "suspend holds new backups back: set it to false to go on"
	default:
		r.reason, r.scheduled = backupv1alpha1.ReasonScheduled, true
		r.message = fmt.Sprintf("backups run at %q", schedule.Line)
		if zone := policy.Spec.TimeZone; zone != "" {
			r.message += " in the time zone " + zone
		}
	}
	if remoteIsEnabled(&policy.Spec) && !remoteIsMounted(&policy.Spec) {
		r.message += "; the remote partition is enabled, but nothing goes there: set fileBackupMode to RSYNC to " +
			"synchronize the backups to it"
	}
	return r
}

// stalled is the readiness of a policy that waits for somebody to mend it. Its present CronJob, nil if it has none, goes
// on running.
func stalled(current *cronJobRecord, f *fault) readiness {
	r := readiness{
		status: metav1.ConditionFalse, beside: backupv1alpha1.ConditionStalled, reason: f.reason, message: f.message,
	}
	if current != nil {
		r.message += "; until then the previous settings remain in effect"
		r.goesOn(current)
	}
	return r
}

// progressing is the readiness of a policy that the operator has not brought into force yet. Its present CronJob, nil if
// it has none, goes on running meanwhile.
func progressing(schedule *Schedule, current *cronJobRecord, err error) readiness {
	r := readiness{
		status: metav1.ConditionFalse, beside: backupv1alpha1.ConditionReconciling,
		reason: backupv1alpha1.ReasonProgressing, message: "the CronJob could not be applied, trying again: " + err.Error(),
		schedule: schedule,
	}
	if current != nil {
		r.goesOn(current)
	}
	return r
}

// goesOn has the schedule be that of a CronJob.
func (r *readiness) goesOn(current *cronJobRecord) {
	t := current.timing.Value()
	r.schedule, _ = parseSchedule(t.schedule, t.timeZone.value, "")
	r.scheduled = r.schedule != nil && !t.suspend
}

// nextStatus is the policy's status as it should be. It goes on from the present one where that knows what the cluster
// may have forgotten.
func nextStatus(
	policy *backupv1alpha1.BackupPolicy, ready readiness, seen observation, now time.Time,
) *backupv1alpha1.BackupPolicyStatus {
	status := policy.Status.DeepCopy()
	status.ObservedGeneration = policy.Generation
	view := seen.view(&policy.Status, ready)
	ready = withObstacles(ready, &policy.Spec, seen.claims)
	c := conditions{status: status, generation: policy.Generation, now: metav1.NewTime(now)}
	setReadiness(c, ready)
	known := knownDelay(status)
	missed := setSchedule(status, ready, view, now)

	if ready.applied {
		status.BackupTarget = backupTarget(&policy.Spec)
		retarget(c, syncTarget(&policy.Spec))
	}
	runs := endedRuns(seen.jobs, seen.pods)
	takeRuns(c, slices.Concat(lostRuns(policy, seen.lost, c.now), runs), known)
	status.Jobs = knownJobs(seen.jobs, runs)
	setBackupSucceeded(c)
	setSynchronizedUnknown(c)

	active := activeRuns(seen.jobs, seen.pods)
	status.ActiveJobs = namesOf(active)
	delayed := delayOf(active, seen.said, known, seen.grace, now)
	if delayed == nil {
		delayed = missedDelay(policy, status, missed, known, &seen)
	}
	setDelayed(c, withDeafness(delayed, seen.deaf))
	status.Protection = protectionOf(status, unboundClaims(&policy.Spec, seen.claims))
	return status
}

func setReadiness(c conditions, ready readiness) {
	c.set(backupv1alpha1.ConditionReady, ready.status, ready.reason, ready.message)
	for _, beside := range []string{backupv1alpha1.ConditionStalled, backupv1alpha1.ConditionReconciling} {
		if ready.beside == beside {
			c.set(beside, metav1.ConditionTrue, ready.reason, ready.message)
		} else {
			meta.RemoveStatusCondition(&c.status.Conditions, beside)
		}
	}
}

// setSchedule tells of the schedule's times, and says whether a run was found to be missed.
func setSchedule(
	status *backupv1alpha1.BackupPolicyStatus, ready readiness, view scheduleView, now time.Time,
) (missed bool) {
	status.Schedule, status.NextScheduleTime = "", nil
	if ready.schedule != nil {
		status.Schedule = ready.schedule.Line
	}
	if view.cronJob != nil {
		if last := view.cronJob.lastSchedule(); last != nil {
			status.LastScheduleTime = last
		}
	}
	next, missedTime := view.judge(now)
	if !next.IsZero() {
		status.NextScheduleTime = ptr.To(metav1.NewTime(next))
	}
	if missedTime.IsZero() {
		return false
	}
	status.LastMissedTime = ptr.To(metav1.NewTime(missedTime))
	return true
}

func lostRuns(policy *backupv1alpha1.BackupPolicy, lost []backupv1alpha1.KnownJob, now metav1.Time) []endedRun {
	var runs []endedRun
	for _, known := range lost {
		runs = append(runs, lostRun(known, policy.Namespace, now))
	}
	return runs
}

// knownJobs are the Jobs of runs, with those that have ended marked as accounted for.
func knownJobs(jobs []batchv1.Job, ended []endedRun) []backupv1alpha1.KnownJob {
	var all []backupv1alpha1.KnownJob
	for i := range jobs {
		all = append(all, backupv1alpha1.KnownJob{
			Name: jobs[i].Name, UID: string(jobs[i].UID),
			Ended: slices.ContainsFunc(ended, func(r endedRun) bool { return r.job.UID == jobs[i].UID }),
		})
	}
	slices.SortFunc(all, func(a, b backupv1alpha1.KnownJob) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	return all
}

// takeRuns takes over what runs tell, each once. Which are new doesn't follow from times, because two runs may end in one
// second and clocks may be set back: a run that was not known to have ended is later than all that were.
//
// The delay that was told last may say what a run waited for.
func takeRuns(c conditions, runs []endedRun, delayed *delay) {
	status := c.status
	failures := ptr.Deref(status.ConsecutiveFailures, 0)
	runs = slices.DeleteFunc(runs, func(run endedRun) bool { return wasAccountedByTime(status, &run) })
	for i := range runs {
		run := &runs[i]
		same := sameRun(status.LastRun, run)
		switch {
		case same && run.report != nil && status.LastRun.ReportMissing:
			// Its pod's report may be seen later than its Job's end.
			status.LastRun, status.LastReportedRun = run.asRun(delayed), nil
		case same && equality.Semantic.DeepEqual(status.LastRun, run.asRun(delayed)):
			// The settings may have changed since, so that they are those of the run again.
		case same || isAccounted(status.Jobs, run):
			continue // What it told stays, also when its pod is gone and only those of earlier tries are left.
		default:
			takeRun(status, run, delayed)
			failures++
		}
		takeSync(c, run)
		takeUnusual(c, run)
		takeBackups(status, run)
		if run.outcome() == backupv1alpha1.OutcomeSucceeded {
			failures, status.LastSuccessTime = 0, &run.ended
		}
	}
	status.ConsecutiveFailures = &failures
}

func isAccounted(jobs []backupv1alpha1.KnownJob, run *endedRun) bool {
	return slices.ContainsFunc(jobs, func(j backupv1alpha1.KnownJob) bool { return j.Ended && j.UID == string(run.job.UID) })
}

// wasAccountedByTime reports whether a status of an earlier version, which recorded no Jobs, accounts for a run: it went by
// the times at which runs ended. Such a status has no protection.
func wasAccountedByTime(status *backupv1alpha1.BackupPolicyStatus, run *endedRun) bool {
	last := status.LastRun
	if status.Protection != nil || last == nil || last.CompletionTime == nil || sameRun(last, run) {
		return false
	}
	return cmp.Or(run.ended.Compare(last.CompletionTime.Time), cmp.Compare(run.job.Name, last.Job)) <= 0
}

// takeRun makes a run the last one. Of the one before, it keeps the figures if this one has none.
func takeRun(status *backupv1alpha1.BackupPolicyStatus, run *endedRun, delayed *delay) {
	before := status.LastRun
	status.LastRun = run.asRun(delayed)
	switch {
	case run.report != nil:
		status.LastReportedRun = nil
	case before != nil && !before.ReportMissing:
		status.LastReportedRun = before
	}
}

func sameRun(known *backupv1alpha1.Run, run *endedRun) bool {
	return known != nil && known.JobUID == string(run.job.UID)
}

func takeBackups(status *backupv1alpha1.BackupPolicyStatus, run *endedRun) {
	if run.report == nil || run.report.Backups == nil {
		return
	}
	held := run.report.Backups
	backups := &backupv1alpha1.RetainedBackups{
		Target: run.job.Annotations[backupv1alpha1.AnnotationBackupTarget],
		Count:  ptr.To(int32(held.Count)), Bytes: &held.Bytes,
	}
	if space := run.report.Storage; space != nil {
		backups.FreeBytes, backups.TotalBytes = &space.Free, &space.Total
	}
	for _, b := range held.Newest {
		backups.Newest = append(backups.Newest,
			backupv1alpha1.RetainedBackup{Name: b.Name, Bytes: &b.Bytes, Incomplete: b.Incomplete})
	}
	status.Backups = backups
}

// noRunYet is what the conditions of runs say before the first.
const noRunYet = "no run has ended yet"

// setBackupSucceeded tells of the run that ended last.
func setBackupSucceeded(c conditions) {
	switch last := c.status.LastRun; {
	case last == nil:
		c.setFromRun(backupv1alpha1.ConditionBackupSucceeded, metav1.ConditionUnknown, backupv1alpha1.ReasonNoRunYet, noRunYet)
	case last.Outcome == backupv1alpha1.OutcomeSucceeded:
		c.setFromRun(backupv1alpha1.ConditionBackupSucceeded, metav1.ConditionTrue, backupv1alpha1.ReasonSucceeded, last.Message)
	default:
		c.setFromRun(backupv1alpha1.ConditionBackupSucceeded, metav1.ConditionFalse, last.Reason, last.Message)
	}
}

// withDeafness adds to a delay that the operator may not read the events that may say more of its cause.
func withDeafness(d *delay, deaf string) *delay {
	if d == nil || deaf == "" || strings.Contains(d.message, deaf) {
		return d
	}
	more := *d
	more.message += "; the operator may not read the events that may say why, which is not the policy's fault: " + deaf
	return &more
}

// setDelayed tells of a delay, or that there is none.
func setDelayed(c conditions, d *delay) {
	if d == nil {
		meta.RemoveStatusCondition(&c.status.Conditions, backupv1alpha1.ConditionDelayed)
		return
	}
	c.setFromRun(backupv1alpha1.ConditionDelayed, metav1.ConditionTrue, d.reason, d.subject+delaySeparator+d.message)
}

// delaySeparator stands between a delay's subject and its message in the condition.
const delaySeparator = ": "

// knownDelay is the delay that a status tells of; nil for none.
func knownDelay(status *backupv1alpha1.BackupPolicyStatus) *delay {
	c := meta.FindStatusCondition(status.Conditions, backupv1alpha1.ConditionDelayed)
	if c == nil {
		return nil
	}
	subject, message, _ := strings.Cut(c.Message, delaySeparator)
	return &delay{subject: subject, reason: c.Reason, message: message}
}

func sameStatus(a, b *backupv1alpha1.BackupPolicyStatus) bool {
	return equality.Semantic.DeepEqual(a, b)
}
