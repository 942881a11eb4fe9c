// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/test/controlplane"
)

// startsAtOnce reports whether the CronJob controller would start a run of a CronJob at a time, as
// mostRecentScheduleTime in https://github.com/kubernetes/kubernetes/blob/v1.37.0/pkg/controller/cronjob/utils.go has it.
func startsAtOnce(t *testing.T, cronJob *batchv1.CronJob, now time.Time) bool {
	t.Helper()
	if ptr.Deref(cronJob.Spec.Suspend, false) {
		return false
	}
	schedule, err := parseSchedule(cronJob.Spec.Schedule, ptr.Deref(cronJob.Spec.TimeZone, ""), "")
	if err != nil {
		t.Fatal(err.message)
	}
	from := cronJob.CreationTimestamp.Time
	if last := cronJob.Status.LastScheduleTime; last != nil {
		from = last.Time
	}
	from = latest(from, now.Add(-time.Duration(*cronJob.Spec.StartingDeadlineSeconds)*time.Second))
	return !schedule.Next(from).After(now)
}

// TestNoRunOfATimeAtWhichTheSettingsWereOthers looks at each version of a CronJob, because the CronJob controller does.
func TestNoRunOfATimeAtWhichTheSettingsWereOthers(t *testing.T) {
	now := time.Now().UTC()
	lineAt := func(at time.Time) string { return fmt.Sprintf("%d %d * * *", at.Minute(), at.Hour()) }
	past, ahead := lineAt(now.Add(-30*time.Minute)), lineAt(now.Add(6*time.Hour))
	for name, c := range map[string]struct {
		before, after func(*backupv1alpha1.BackupPolicySpec)
	}{
		"unsuspended": {
			before: func(s *backupv1alpha1.BackupPolicySpec) { s.Schedule, s.Suspend = past, ptr.To(true) },
			after:  func(s *backupv1alpha1.BackupPolicySpec) { s.Suspend = nil },
		},
		"enabled": {
			before: func(s *backupv1alpha1.BackupPolicySpec) {
				s.Schedule, s.ApplicationBackup.Enabled = past, ptr.To(false)
			},
			after: func(s *backupv1alpha1.BackupPolicySpec) { s.ApplicationBackup.Enabled = ptr.To(true) },
		},
		"another schedule": {
			before: func(s *backupv1alpha1.BackupPolicySpec) { s.Schedule = ahead },
			after:  func(s *backupv1alpha1.BackupPolicySpec) { s.Schedule = past },
		},
		"another time zone": {
			before: func(s *backupv1alpha1.BackupPolicySpec) { s.Schedule, s.TimeZone = past, "Etc/GMT+7" },
			after:  func(s *backupv1alpha1.BackupPolicySpec) { s.TimeZone = "Etc/UTC" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			policy := readPolicy(t, "testdata/minimal.yaml")
			policy.Namespace, policy.UID = namespace(t, "data", "backups"), ""
			policy.Spec.TimeZone = "Etc/UTC"
			c.before(&policy.Spec)
			api := controlplane.NewClient(t)
			if err := api.Create(t.Context(), policy); err != nil {
				t.Fatal(err)
			}
			waitAdopted(t, policy)
			yesterday := now.Add(-24 * time.Hour).Truncate(time.Minute)
			ranAt(t, policy, yesterday)
			watchCronJob(t, policy, func() { change(t, policy, c.after) }, func(version *batchv1.CronJob) {
				if startsAtOnce(t, version, time.Now()) {
					t.Errorf("version %s of the CronJob, of %q, starts a run at once: runs are due from %s on",
						version.ResourceVersion, version.Spec.Schedule, version.Status.LastScheduleTime)
				}
			})
			var status backupv1alpha1.BackupPolicy
			waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
			if err := api.Get(t.Context(), keyOf(policy), &status); err != nil {
				t.Fatal(err)
			}
			if last := status.Status.LastScheduleTime; last != nil && !last.Time.Equal(yesterday) {
				t.Errorf("the last run is said to be of %s, but was of %s", last, yesterday)
			}
		})
	}
}

func keyOf(policy *backupv1alpha1.BackupPolicy) client.ObjectKey {
	return client.ObjectKeyFromObject(policy)
}

// ranAt has the CronJob's last run be of a time.
func ranAt(t *testing.T, policy *backupv1alpha1.BackupPolicy, at time.Time) {
	t.Helper()
	cronJob := mustGetCronJob(t, policy)
	cronJob.Status.LastScheduleTime = ptr.To(metav1.NewTime(at))
	if err := controlplane.NewClient(t).Status().Update(t.Context(), cronJob); err != nil {
		t.Fatal(err)
	}
}

// watchCronJob makes a change and looks at each version of the policy's CronJob from then on, until one that is neither
// suspended nor on its earlier schedule.
func watchCronJob(
	t *testing.T, policy *backupv1alpha1.BackupPolicy, change func(), look func(*batchv1.CronJob),
) {
	t.Helper()
	before := mustGetCronJob(t, policy)
	versions, err := controlplane.NewClient(t).Watch(t.Context(), &batchv1.CronJobList{},
		client.InNamespace(policy.Namespace), client.MatchingFields{"metadata.name": before.Name})
	if err != nil {
		t.Fatal(err)
	}
	defer versions.Stop()
	change()
	was := timingOf(before)
	for event := range versions.ResultChan() {
		version, ok := event.Object.(*batchv1.CronJob)
		if !ok {
			t.Fatalf("%+v", event.Object)
		}
		if timingOf(version) == was {
			continue
		}
		look(version)
		return
	}
	t.Fatal("the watch ended")
}

// TestAScheduleThatIsRefusedMovesNoTime: each attempt would, and would bring the next, because the CronJob has changed.
func TestAScheduleThatIsRefusedMovesNoTime(t *testing.T) {
	policy := apply(t, "testdata/minimal.yaml", namespace(t, "data", "backups"))
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	waitSettled(t, policy)
	before := mustGetCronJob(t, policy)
	own := *reconciler
	own.Client = interceptor.NewClient(direct, interceptor.Funcs{Apply: func(
		context.Context, client.WithWatch, runtime.ApplyConfiguration, ...client.ApplyOption,
	) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "cronjobs"}, before.Name, errors.New("not here"))
	}})
	schedule, fault := parseSchedule("7 7 * * *", "", "")
	if fault != nil {
		t.Fatal(fault.message)
	}
	err := own.applyCronJob(t.Context(), BuildCronJob(policy, schedule, nil, own.Options), cronJobRecordOf(before))
	if !apierrors.IsForbidden(err) {
		t.Errorf("applied: %v", err)
	}
	if after := mustGetCronJob(t, policy); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("the CronJob was written: last schedule time %v", after.Status.LastScheduleTime)
	}
}

// TestRemovingAnAddedTimeZoneStartsNoRun of a time at which it was another one.
func TestRemovingAnAddedTimeZoneStartsNoRun(t *testing.T) {
	policy := readPolicy(t, "testdata/minimal.yaml")
	policy.Namespace, policy.UID = namespace(t, "data", "backups"), ""
	due := time.Now().UTC().Add(-30 * time.Minute)
	policy.Spec.Schedule = fmt.Sprintf("%d %d * * *", due.Minute(), due.Hour())
	api := controlplane.NewClient(t)
	if err := api.Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	waitAdopted(t, policy)
	ranAt(t, policy, due.Add(-24*time.Hour).Truncate(time.Minute))
	cronJob := mustGetCronJob(t, policy)
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"timeZone":"Etc/GMT+7"}}`))
	if err := api.Patch(t.Context(), cronJob, patch, client.FieldOwner("somebody")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if mustGetCronJob(t, policy).Spec.TimeZone != nil {
			return errors.New("the time zone is still there")
		}
		return nil
	})
	if startsAtOnce(t, mustGetCronJob(t, policy), time.Now()) {
		t.Error("a run starts at once")
	}
}

func TestATimeOfTheOperatorsIsNoRun(t *testing.T) {
	for _, now := range []time.Time{start, start.Add(time.Nanosecond), start.Add(time.Second), start.Add(59*time.Second + 999)} {
		from := unscheduled(now)
		if isScheduled(from) || from.Sub(now).Abs() > time.Second {
			t.Errorf("%s for %s", from, now)
		}
		record := &cronJobRecord{created: 1, lastScheduleTime: from.Unix()}
		if record.lastSchedule() != nil || !record.dueFrom().Equal(from) {
			t.Errorf("at %s: last run %v, due from %s", now, record.lastSchedule(), record.dueFrom())
		}
	}
	if record := (&cronJobRecord{lastScheduleTime: start.Unix()}); !record.lastSchedule().Time.Equal(start) {
		t.Errorf("last run %v", record.lastSchedule())
	}
}
