// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"strings"
	"time"
	"unique"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/controllers/mirror"
)

// cronJobRecord is what is kept of a CronJob: whose it is, when it runs, and what tells whether it is as it should be.
type cronJobRecord struct {
	uid types.UID
	// controller is the UID of the object that controls it; empty if none does.
	controller types.UID
	timing     unique.Handle[timing]
	// created and lastScheduleTime are in seconds since 1970; the latter is 0 if there is none.
	created, lastScheduleTime int64
	// own is the digest of what is the operator's own; zero until its fields are adopted.
	own digest
	// hasAdded reports whether others have added fields to its spec.
	hasAdded bool
	// awaitsAdoption says that the operator has created it and that its fields don't belong to server-side apply yet.
	awaitsAdoption bool
}

// timing is when a CronJob runs. Many share one.
type timing struct {
	schedule string
	timeZone optional
	suspend  bool
}

func timingOf(object *batchv1.CronJob) unique.Handle[timing] {
	return unique.Make(timing{
		schedule: object.Spec.Schedule,
		timeZone: optionalOf(object.Spec.TimeZone),
		suspend:  ptr.Deref(object.Spec.Suspend, false),
	})
}

// cronJobKind is how CronJobs are mirrored: those that have a policy's CronJob's name, whoever owns them.
func cronJobKind() mirror.Kind[*batchv1.CronJob, cronJobRecord] {
	return mirror.Kind[*batchv1.CronJob, cronJobRecord]{
		Name: "CronJobs",
		Record: func(object *batchv1.CronJob) *cronJobRecord {
			if !strings.HasSuffix(object.Name, cronJobSuffix) {
				return nil
			}
			return cronJobRecordOf(object)
		},
	}
}

// cronJobRecordOf is what is kept of a CronJob. One whose managed fields can't be read has the digest of nothing, and is
// applied.
func cronJobRecordOf(object *batchv1.CronJob) *cronJobRecord {
	c := &cronJobRecord{
		uid:            object.UID,
		timing:         timingOf(object),
		created:        object.CreationTimestamp.Unix(),
		awaitsAdoption: createdEntry(object.ManagedFields) != nil,
	}
	if controller := metav1.GetControllerOfNoCopy(object); controller != nil {
		c.controller = controller.UID
	}
	if last := object.Status.LastScheduleTime; last != nil {
		c.lastScheduleTime = last.Unix()
	}
	if !c.awaitsAdoption {
		c.own, _ = ownDigest(object)
		c.hasAdded = hasAddedFields(object)
	}
	return c
}

// ownedBy says whether the CronJob is this policy's own. A policy that was deleted and made anew under its old name is
// another one.
func (c *cronJobRecord) ownedBy(policy *backupv1alpha1.BackupPolicy) bool {
	return c.controller == policy.UID
}

// lastSchedule is when the CronJob's last run was due; nil if there was none, or if it is not known any more.
func (c *cronJobRecord) lastSchedule() *metav1.Time {
	last := metav1.Unix(c.lastScheduleTime, 0)
	if c.lastScheduleTime == 0 || !isScheduled(last.Time) {
		return nil
	}
	return &last
}

// dueFrom is the time after which runs are due.
func (c *cronJobRecord) dueFrom() time.Time {
	return time.Unix(max(c.created, c.lastScheduleTime), 0)
}

// enqueueCronJob has a policy looked at when the CronJob of its name comes, changes or goes. A new one is the operator's
// own doing nearly always, and what is left to do about it is the status, which can wait. So is its adoption, after which
// nothing is left to do.
//
// It goes by the name and not by the owner, because a CronJob that is in the way of a policy's own matters to the policy
// as well.
func enqueueCronJob(_ context.Context, change mirror.Change[cronJobRecord], queue mirror.Queue) {
	policy, ok := strings.CutSuffix(change.Key.Name, cronJobSuffix)
	if !ok {
		return
	}
	request := ctrl.Request{NamespacedName: types.NamespacedName{Namespace: change.Key.Namespace, Name: policy}}
	switch later, has := queue.(priorityqueue.PriorityQueue[ctrl.Request]); {
	case has && change.Before == nil:
		later.AddWithOpts(priorityqueue.AddOpts{Priority: ptr.To(priorityStatus)}, request)
	case has && wasAdopted(change):
		later.AddWithOpts(priorityqueue.AddOpts{After: adoptionPause, Priority: ptr.To(priorityStatus)}, request)
	default:
		queue.Add(request)
	}
}

// wasAdopted says whether the fields of a CronJob that was created belong to server-side apply from now on.
func wasAdopted(change mirror.Change[cronJobRecord]) bool {
	return change.Before != nil && change.Now != nil && change.Before.awaitsAdoption && !change.Now.awaitsAdoption
}
