// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"

	"appliance.io/backup-operator/controllers/mirror"
)

// recordingQueue tells how a request was added to it.
type recordingQueue struct {
	priorityqueue.PriorityQueue[ctrl.Request]
	requests []ctrl.Request
	options  []priorityqueue.AddOpts
}

func (q *recordingQueue) Add(request ctrl.Request) { q.AddWithOpts(priorityqueue.AddOpts{}, request) }

func (q *recordingQueue) AddWithOpts(options priorityqueue.AddOpts, requests ...ctrl.Request) {
	q.requests = append(q.requests, requests...)
	q.options = append(q.options, options)
}

// TestWhatACronJobsChangeIsWorth: what the operator has done itself leaves little to do, and comes last.
func TestWhatACronJobsChangeIsWorth(t *testing.T) {
	fresh, started := &cronJobRecord{awaitsAdoption: true}, &cronJobRecord{awaitsAdoption: true, lastScheduleTime: 1}
	adopted, changed := &cronJobRecord{own: digest{1}}, &cronJobRecord{own: digest{2}}
	for name, test := range map[string]struct {
		before, now *cronJobRecord
		priority    int
		after       time.Duration
	}{
		"it is created":                {nil, fresh, priorityStatus, 0},
		"it was created already":       {nil, adopted, priorityStatus, 0},
		"it is adopted":                {fresh, adopted, priorityStatus, adoptionPause},
		"somebody else has changed it": {adopted, changed, 0, 0},
		"it is no longer adopted":      {adopted, fresh, 0, 0},
		"it runs and isn't adopted":    {fresh, started, 0, 0},
		"it is deleted":                {adopted, nil, 0, 0},
	} {
		var queue recordingQueue
		enqueueCronJob(t.Context(), mirror.Change[cronJobRecord]{
			Key: types.NamespacedName{Namespace: "orbit", Name: "appliance-backup"}, Before: test.before, Now: test.now,
		}, &queue)
		want := ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "orbit", Name: "appliance"}}
		if len(queue.requests) != 1 || queue.requests[0] != want {
			t.Errorf("%s: requests %v", name, queue.requests)
			continue
		}
		got := queue.options[0]
		if (got.Priority == nil) != (test.priority == 0) || got.Priority != nil && *got.Priority != test.priority ||
			got.After != test.after {
			t.Errorf("%s: added with %+v", name, got)
		}
	}
	var queue recordingQueue
	enqueueCronJob(t.Context(), mirror.Change[cronJobRecord]{
		Key: types.NamespacedName{Namespace: "orbit", Name: "report"}, Now: fresh,
	}, &queue)
	if len(queue.requests) != 0 {
		t.Errorf("a CronJob that no policy could have: %v", queue.requests)
	}
}

// TestChangesOfCronJobsThatMatter: that a Job of a CronJob has come or gone is told by the Job.
func TestChangesOfCronJobsThatMatter(t *testing.T) {
	made := func() *batchv1.CronJob {
		object := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{
			Name: "appliance-backup", UID: "u", ResourceVersion: "1", Labels: map[string]string{"ours": "yes", "another's": "a"},
			OwnerReferences: []metav1.OwnerReference{{UID: "policy", Controller: ptr.To(true)}},
			ManagedFields: []metav1.ManagedFieldsEntry{{
				Manager: string(FieldOwner), Operation: metav1.ManagedFieldsOperationApply, FieldsType: "FieldsV1",
				FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{"f:ours":{}}}}`),
			}},
		}}
		object.Spec.Schedule, object.Spec.TimeZone, object.Spec.Suspend = "0 5 * * *", ptr.To("Etc/UTC"), ptr.To(false)
		object.Status.LastScheduleTime = ptr.To(metav1.NewTime(start))
		return object
	}
	before := cronJobKind().Record(made())
	for name, test := range map[string]struct {
		change  func(*batchv1.CronJob)
		matters bool
	}{
		"nothing":                  {func(*batchv1.CronJob) {}, false},
		"another version":          {func(c *batchv1.CronJob) { c.ResourceVersion = "2" }, false},
		"a stranger's label":       {func(c *batchv1.CronJob) { c.Labels["another's"] = "b" }, false},
		"a Job has come":           {func(c *batchv1.CronJob) { c.Status.Active = []corev1.ObjectReference{{Name: "j"}} }, false},
		"a Job has succeeded":      {func(c *batchv1.CronJob) { c.Status.LastSuccessfulTime = &c.CreationTimestamp }, false},
		"it is another one":        {func(c *batchv1.CronJob) { c.UID = "other" }, true},
		"it is somebody else's":    {func(c *batchv1.CronJob) { c.OwnerReferences = nil }, true},
		"its schedule is due":      {func(c *batchv1.CronJob) { c.Status.LastScheduleTime = ptr.To(metav1.NewTime(start.Add(day))) }, true},
		"it has another schedule":  {func(c *batchv1.CronJob) { c.Spec.Schedule = "1 5 * * *" }, true},
		"it has no time zone":      {func(c *batchv1.CronJob) { c.Spec.TimeZone = nil }, true},
		"it is suspended":          {func(c *batchv1.CronJob) { c.Spec.Suspend = ptr.To(true) }, true},
		"one of our labels is not": {func(c *batchv1.CronJob) { c.Labels["ours"] = "no" }, true},
		"it awaits its adoption": {func(c *batchv1.CronJob) {
			c.ManagedFields[0].Operation = metav1.ManagedFieldsOperationUpdate
		}, true},
	} {
		object := made()
		test.change(object)
		if matters := *before != *cronJobKind().Record(object); matters != test.matters {
			t.Errorf("%s: matters %t, want %t", name, matters, test.matters)
		}
	}
	other := made()
	other.Name = "report"
	if cronJobKind().Record(other) != nil {
		t.Error("a CronJob that no policy could have is kept")
	}
}
