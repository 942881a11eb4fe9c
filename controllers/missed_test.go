// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unique"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// scheduleAt is a policy that runs daily at five, the time that start is at, and how its status goes on.
type scheduleAt struct {
	t      *testing.T
	policy *backupv1alpha1.BackupPolicy
	seen   observation
}

func newScheduleAt(t *testing.T) *scheduleAt {
	s := &scheduleAt{t: t, policy: rsyncPolicy()}
	s.policy.Spec.TimeZone = "Etc/UTC"
	s.seen.grace = grace
	s.seen.cronJob = &cronJobRecord{uid: "uid-cronjob", created: start.AddDate(0, -1, 0).Unix()}
	s.timing(timing{timeZone: optionalOf(ptr.To("Etc/UTC"))})
	return s
}

// look reconciles so long after start.
func (s *scheduleAt) look(after time.Duration) *backupv1alpha1.BackupPolicyStatus {
	s.t.Helper()
	schedule, fault := checkSettings(s.policy, Options{})
	if fault != nil {
		s.t.Fatal(fault.message)
	}
	s.policy.Status = *nextStatus(s.policy, inForce(s.policy, schedule), s.seen, start.Add(after))
	return &s.policy.Status
}

func (s *scheduleAt) lastRunAt(after time.Duration) {
	s.seen.cronJob.lastScheduleTime = start.Add(after).Unix()
}

func (s *scheduleAt) timing(t timing) { s.seen.cronJob.timing = unique.Make(t) }

func (s *scheduleAt) job(after time.Duration) {
	s.seen.jobs = append(s.seen.jobs, batchv1.Job{ObjectMeta: metav1.ObjectMeta{
		Name: "run-" + after.String(), Namespace: "orbit", CreationTimestamp: metav1.NewTime(start.Add(after)),
	}})
}

func (s *scheduleAt) wantNext(after time.Duration) {
	s.t.Helper()
	if next := s.policy.Status.NextScheduleTime; next == nil || !next.Time.Equal(start.Add(after)) {
		s.t.Errorf("next run at %v, want %s", next, start.Add(after))
	}
}

// wantMissed wants the condition to tell of a missed run, or not to be there.
func (s *scheduleAt) wantMissed(missed bool, words ...string) {
	s.t.Helper()
	d := meta.FindStatusCondition(s.policy.Status.Conditions, "Delayed")
	if (d != nil) != missed || missed && d.Reason != "ScheduleMissed" {
		s.t.Fatalf("Delayed is %+v; missed should be %t", d, missed)
	}
	for _, w := range words {
		if !strings.Contains(d.Message, w) {
			s.t.Errorf("message %q does not hold %q", d.Message, w)
		}
	}
}

const day = 24 * time.Hour

// TestAScheduledRunThatNeverCame is told when the grace is over, until a later run starts.
func TestAScheduledRunThatNeverCame(t *testing.T) {
	s := newScheduleAt(t)
	s.look(-time.Hour)
	s.wantNext(0)
	s.look(time.Second)
	s.wantNext(0)
	s.wantMissed(false)
	if in := s.seen.lookAgainIn(&s.policy.Status, start.Add(time.Second)); in != grace {
		t.Errorf("looks again in %s, want when the grace is over", in)
	}
	s.look(grace)
	s.wantNext(day)
	s.wantMissed(true, "no run started at 2026-11-22T05:00:00Z", "kube-controller-manager", "describe cronjob appliance-backup")
	if at := s.policy.Status.LastMissedTime; at == nil || !at.Time.Equal(start) {
		t.Errorf("last missed at %v", at)
	}
	s.look(time.Hour)
	s.wantMissed(true)
	s.look(day + grace)
	s.wantMissed(true, "2026-11-23T05:00:00Z")
	s.lastRunAt(2 * day)
	s.look(2*day + time.Second)
	s.wantMissed(false)
	s.wantNext(3 * day)
}

// TestTheScheduleGoesOnWhileTheCronJobCannotBeApplied: it is that of the CronJob that there is.
func TestTheScheduleGoesOnWhileTheCronJobCannotBeApplied(t *testing.T) {
	s := newScheduleAt(t)
	s.timing(timing{schedule: "0 5 * * *", timeZone: optionalOf(ptr.To("Etc/UTC"))})
	s.policy.Spec.Schedule = "0 6 * * *"
	wanted, _ := checkSettings(s.policy, Options{})
	look := func(after time.Duration) {
		state, _ := notApplied(wanted, s.seen.cronJob, errors.New("a webhook does not answer"))
		s.policy.Status = *nextStatus(s.policy, state, s.seen, start.Add(after))
	}
	look(-time.Hour)
	s.wantNext(0)
	look(grace)
	s.wantNext(day)
	s.wantMissed(true, "no run started at 2026-11-22T05:00:00Z")
}

func TestARunThatStartedInTimeIsNotMissed(t *testing.T) {
	s := newScheduleAt(t)
	s.look(-time.Hour)
	s.look(time.Second)
	s.lastRunAt(0)
	s.look(2 * time.Second)
	s.wantNext(day)
	s.look(time.Hour)
	s.wantMissed(false)
}

// TestWhyARunWasMissed has the causes that can be known, and keeps the one that was found.
func TestWhyARunWasMissed(t *testing.T) {
	s := newScheduleAt(t)
	s.look(-time.Hour)
	s.job(-time.Hour)
	s.seen.pods = map[types.UID][]corev1.Pod{"": {{Status: corev1.PodStatus{Phase: corev1.PodRunning}}}}
	s.look(grace)
	s.wantMissed(true, "run--1h0m0s still goes on")
	s.seen.jobs = nil
	s.look(time.Hour)
	s.wantMissed(true, "run--1h0m0s still goes on")

	s = newScheduleAt(t)
	s.look(-time.Hour)
	s.seen.said = map[types.UID][]kubeEvent{"uid-cronjob": {
		{reason: "FailedCreate", message: "exceeded quota: count/jobs.batch"},
		{reason: "UnexpectedJob", message: "Saw a job that the controller did not create or forgot: appliance-now-1", at: start},
	}}
	s.look(grace)
	s.wantMissed(true, "FailedCreate: exceeded quota", "describe cronjob")
	s.job(time.Hour)
	s.look(time.Hour)
	s.wantMissed(false)
}

// TestNoFalseAlarms has all that keeps a time of the schedule from being one at which a run should have started.
func TestNoFalseAlarms(t *testing.T) {
	for name, during := range map[string]func(*scheduleAt){
		"suspended":             func(s *scheduleAt) { s.policy.Spec.Suspend = ptr.To(true) },
		"disabled":              func(s *scheduleAt) { s.policy.Spec.ApplicationBackup = nil },
		"another schedule":      func(s *scheduleAt) { s.policy.Spec.Schedule = "30 6 * * *" },
		"another time zone":     func(s *scheduleAt) { s.policy.Spec.TimeZone = "America/Sao_Paulo" },
		"a CronJob of just now": func(s *scheduleAt) { s.seen.cronJob.created = start.Unix() },
		"no CronJob":            func(s *scheduleAt) { s.seen.cronJob = nil },
		"the controller's zone": func(s *scheduleAt) { s.timing(timing{}); s.lastRunAt(-3 * time.Hour) },
		"no zone known yet":     func(s *scheduleAt) { s.timing(timing{}) },
		"an operator that was away": func(s *scheduleAt) {
			s.seen.started = start.Add(time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScheduleAt(t)
			s.look(-time.Hour)
			during(s)
			s.look(time.Hour + grace - time.Second)
			s.wantMissed(false)
			if s.policy.Status.LastMissedTime != nil {
				t.Errorf("missed %s", s.policy.Status.LastMissedTime)
			}
		})
	}
}

func TestAStrangersRunsAreNotThePolicys(t *testing.T) {
	s := newScheduleAt(t)
	s.lastRunAt(0)
	status := nextStatus(s.policy, stalled(nil, notOwned(s.policy)), s.seen, start.Add(time.Hour))
	if status.LastScheduleTime != nil || status.NextScheduleTime != nil {
		t.Errorf("last run %v, next run %v", status.LastScheduleTime, status.NextScheduleTime)
	}
}

// TestSuspendingEndsTheAlarm, and going on doesn't bring it back.
func TestSuspendingEndsTheAlarm(t *testing.T) {
	s := newScheduleAt(t)
	s.look(-time.Hour)
	s.look(grace)
	s.wantMissed(true)
	s.policy.Spec.Suspend = ptr.To(true)
	s.look(time.Hour)
	s.wantMissed(false)
	s.policy.Spec.Suspend = nil
	s.look(2 * time.Hour)
	s.wantMissed(false)
}

// TestAControllerInUTC needs no time zone in the policy: its last run says so.
func TestAControllerInUTC(t *testing.T) {
	s := newScheduleAt(t)
	s.policy.Spec.TimeZone = ""
	s.timing(timing{})
	s.lastRunAt(-day)
	s.look(-time.Hour)
	s.look(grace)
	s.wantMissed(true)
}

// TestTheLastOfManyMissedRunsIsTold, when the operator was away for days.
func TestTheLastOfManyMissedRunsIsTold(t *testing.T) {
	s := newScheduleAt(t)
	s.look(-time.Hour)
	s.lastRunAt(day)
	s.look(5*day + time.Hour)
	s.wantMissed(true, "2026-11-27T05:00:00Z")
	s.wantNext(6 * day)

	s = newScheduleAt(t)
	s.policy.Spec.Schedule = "* * * * *"
	s.look(-time.Second)
	s.look(10 * day)
	s.wantMissed(true)
	s.lastRunAt(10*day - time.Minute)
	s.look(10*day + time.Second)
	s.wantNext(10 * day)
}
