// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// subjectSchedule is the subject of a delay that is about the schedule and not about one run.
const subjectSchedule = "schedule"

// missReasons are the CronJob controller's reasons for a run that it didn't start, from
// https://github.com/kubernetes/kubernetes/blob/v1.37.0/pkg/controller/cronjob/cronjob_controllerv2.go. It has others, of
// which UnexpectedJob only says that somebody else started a run, as runNow does.
var missReasons = []string{
	"FailedCreate", "FailedGet", "MissSchedule", "TooManyMissedTimes", "InvalidSchedule", "UnparseableSchedule",
	"UnparseableCronJobSchedule", "UnknownTimeZone",
}

// maxTimes is how many of a schedule's times are looked through for the last one, so that an operator that was away from
// a schedule of minutes for months doesn't go through all of them.
const maxTimes = 10000

// hits says whether the schedule starts a run at t.
func (s *Schedule) hits(t time.Time) bool { return s.Next(t.Add(-time.Second)).Equal(t) }

// scheduleView is what the times of a policy's schedule are judged by.
type scheduleView struct {
	// expected is the time of the next run as it was told last; zero if none was.
	expected time.Time
	// schedule is the one in force; nil when none starts runs.
	schedule *Schedule
	// cronJob is the CronJob in force; nil if there is none.
	cronJob *cronJobRecord
	// lastSchedule is the time of the last run as it was told last; nil if none was.
	lastSchedule *metav1.Time
	// grace is how late a run may start, or how long after the operator's own start: where a whole cluster was away, those
	// who start runs come back together with those who look after them.
	grace   time.Duration
	started time.Time
}

// view is what the times of the schedule in force are judged by.
func (o *observation) view(status *backupv1alpha1.BackupPolicyStatus, ready readiness) scheduleView {
	v := scheduleView{grace: o.grace, started: o.started, lastSchedule: status.LastScheduleTime}
	if ready.reason != backupv1alpha1.ReasonCronJobNotOwned {
		v.cronJob = o.cronJob
	}
	if ready.scheduled {
		v.schedule = ready.schedule
	}
	if status.NextScheduleTime != nil {
		v.expected = status.NextScheduleTime.Time
	}
	return v
}

// judge says what the time of the next run is, and which run was missed; zero if none was. A run's time stays the next
// one until it has started or its grace is over.
func (v *scheduleView) judge(now time.Time) (next, missed time.Time) {
	if v.schedule == nil {
		return time.Time{}, time.Time{}
	}
	next = v.schedule.Next(now)
	// A time that the schedule doesn't have is of one that was in force before.
	if v.expected.IsZero() || v.expected.After(now) || v.cronJob == nil || !v.schedule.hits(v.expected) || !v.zoneKnown() {
		return next, time.Time{}
	}
	// The CronJob controller starts what was due after the CronJob's last run, and none that was due before it was made.
	from := latest(v.expected.Add(-time.Second), v.cronJob.dueFrom())
	due := v.schedule.Next(from)
	for range maxTimes {
		if due.After(now) || now.Before(v.deadline(due)) {
			break
		}
		missed, due = due, v.schedule.Next(due)
	}
	return due, missed
}

// deadline is until when a run that is due has to have started.
func (v *scheduleView) deadline(due time.Time) time.Time { return latest(due, v.started).Add(v.grace) }

// zoneKnown says whether the times of the schedule are known. A CronJob without a time zone goes by that of
// kube-controller-manager, which the operator doesn't know: it is taken to be UTC where the last run was at such a time.
func (v *scheduleView) zoneKnown() bool {
	last := v.cronJob.lastSchedule()
	if last == nil {
		last = v.lastSchedule
	}
	return v.cronJob.timing.Value().timeZone.present || last != nil && v.schedule.hits(last.Time)
}

// missedDelay is that the schedule's last run was missed, until a later run starts; nil when that isn't so. The cause is
// looked for once, because it may be gone when the schedule is looked at again.
func missedDelay(
	policy *backupv1alpha1.BackupPolicy, status *backupv1alpha1.BackupPolicyStatus, fresh bool, known *delay,
	seen *observation,
) *delay {
	wasKnown := known != nil && known.reason == backupv1alpha1.ReasonScheduleMissed
	if status.NextScheduleTime == nil || status.LastMissedTime == nil || !fresh && !wasKnown {
		return nil
	}
	missed := status.LastMissedTime
	if last := status.LastScheduleTime; last != nil && !last.Before(missed) {
		return nil
	}
	// A run that was started by hand makes up for it too, also within the second that the time is.
	if slices.ContainsFunc(seen.jobs, func(j batchv1.Job) bool { return !j.CreationTimestamp.Before(missed) }) {
		return nil
	}
	if !fresh {
		return known
	}
	return &delay{
		subject: subjectSchedule, reason: backupv1alpha1.ReasonScheduleMissed,
		message: fmt.Sprintf("no run started at %s: %s", missed.UTC().Format(time.RFC3339), missedCause(policy, seen)),
	}
}

func missedCause(policy *backupv1alpha1.BackupPolicy, seen *observation) string {
	if seen.cronJob == nil {
		return "there is no CronJob"
	}
	if runs := activeRuns(seen.jobs, seen.pods); len(runs) > 0 {
		return fmt.Sprintf("%s still goes on, and there is only one at a time: let runs be rarer, or look why this one takes so "+
			"long", runs[0].job.Name)
	}
	describe := fmt.Sprintf("kubectl -n %s describe cronjob %s", policy.Namespace, CronJobName(policy.Name))
	if e := newestOf(seen.said[seen.cronJob.uid], missReasons...); e != nil {
		return fmt.Sprintf("%s: %s: look at %s", e.reason, e.message, describe)
	}
	return "look whether kube-controller-manager runs, which starts the runs, and at " + describe
}
