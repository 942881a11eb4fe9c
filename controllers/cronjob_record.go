// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"
	"unique"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/controllers/mirror"
)

// cronJob is what is kept of a CronJob: whose it is, when it runs, and what tells whether it is as it should be. Two can
// be compared.
type cronJob struct {
	uid types.UID
	// controller is the UID of the object that controls it; empty if none does.
	controller types.UID
	timing     unique.Handle[timing]
	// created and lastScheduleTime are in seconds since 1970; the latter is 0 if there was no run.
	created, lastScheduleTime int64
	// own is the digest of what is the operator's own.
	own digest
	// isNotAdopted says that the operator has created it and that its fields don't belong to server-side apply yet.
	isNotAdopted bool
}

// timing is when a CronJob runs. Many share one.
type timing struct {
	schedule string
	timeZone optional
	suspend  bool
}

// cronJobKind is how CronJobs are mirrored.
func cronJobKind() mirror.Kind[*batchv1.CronJob, *cronJob] {
	return mirror.Kind[*batchv1.CronJob, *cronJob]{
		Name:   "CronJobs",
		Record: func(object *batchv1.CronJob) (*cronJob, bool) { return cronJobOf(object), true },
		Same:   func(a, b *cronJob) bool { return *a == *b },
	}
}

// cronJobOf is what is kept of a CronJob. One whose managed fields can't be read has the digest of nothing, and is
// applied.
func cronJobOf(object *batchv1.CronJob) *cronJob {
	c := &cronJob{
		uid: object.UID,
		timing: unique.Make(timing{
			schedule: object.Spec.Schedule, timeZone: optionalOf(object.Spec.TimeZone), suspend: ptr.Deref(object.Spec.Suspend, false),
		}),
		created:      object.CreationTimestamp.Unix(),
		isNotAdopted: createdEntry(object.ManagedFields) != nil,
	}
	if controller := metav1.GetControllerOfNoCopy(object); controller != nil {
		c.controller = controller.UID
	}
	if last := object.Status.LastScheduleTime; last != nil {
		c.lastScheduleTime = last.Unix()
	}
	if !c.isNotAdopted {
		c.own, _ = ownDigest(object)
	}
	return c
}

// ownedBy says whether the CronJob is this policy's own. A policy that was deleted and made anew under its old name is
// another one.
func (c *cronJob) ownedBy(policy *backupv1alpha1.BackupPolicy) bool {
	return c.controller == policy.UID
}

// creation is when the CronJob was made.
func (c *cronJob) creation() time.Time { return time.Unix(c.created, 0) }

// lastSchedule is when the CronJob's last run was due; nil if there was none.
func (c *cronJob) lastSchedule() *metav1.Time {
	if c.lastScheduleTime == 0 {
		return nil
	}
	return ptr.To(metav1.Unix(c.lastScheduleTime, 0))
}
