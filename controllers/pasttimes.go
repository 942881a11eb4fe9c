// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The CronJob controller starts the last run that was due since the CronJob's status.lastScheduleTime, up to
// startingDeadlineSeconds ago, by the schedule that the CronJob has now
// (https://github.com/kubernetes/kubernetes/blob/v1.37.0/pkg/controller/cronjob/utils.go, mostRecentScheduleTime). So a
// CronJob that is unsuspended at nine starts the run of half past eight, and one whose schedule is moved to half past
// eight does too, at once or whenever it is touched next. Nobody asked for that run: at half past eight, the settings were
// other ones. Therefore the time is moved up to the present before such settings are applied.

// startsOtherRuns reports whether the CronJob as it is wanted starts runs at other times than the current one.
func startsOtherRuns(wanted *batchv1.CronJob, current *cronJobRecord) bool {
	will := timingOf(wanted)
	return will != current.timing && !will.Value().suspend
}

// forgetPastTimes keeps settings that change when runs start from starting one that was due before. It writes before
// they are applied, so the CronJob controller never sees the one without the other.
func (r *BackupPolicyReconciler) forgetPastTimes(ctx context.Context, wanted *batchv1.CronJob, uid types.UID) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": uid},
		"status":   map[string]any{"lastScheduleTime": metav1.NewTime(unscheduled(r.Clock.Now()))},
	})
	if err != nil {
		return err
	}
	object := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: wanted.Namespace, Name: wanted.Name}}
	// Of one that is gone there is nothing to forget.
	return client.IgnoreNotFound(r.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, patch), FieldOwner))
}

// unscheduled is the present second, or the next one where a run could be due at the present one: the times of runs are
// whole minutes, and this one must be told from them.
func unscheduled(now time.Time) time.Time {
	now = now.Truncate(time.Second)
	if isScheduled(now) {
		return now.Add(time.Second)
	}
	return now
}

// isScheduled reports whether a CronJob's lastScheduleTime is that of a run, and not one from forgetPastTimes.
func isScheduled(at time.Time) bool { return at.Truncate(time.Minute).Equal(at) }
