// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
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
	fresh, started := &cronJob{isNotAdopted: true}, &cronJob{isNotAdopted: true, lastScheduleTime: 1}
	adopted, changed := &cronJob{own: digest{1}}, &cronJob{own: digest{2}}
	for name, test := range map[string]struct {
		before, now **cronJob
		priority    int
		after       time.Duration
	}{
		"it is created":                {nil, &fresh, priorityStatus, 0},
		"it was created already":       {nil, &adopted, priorityStatus, 0},
		"it is adopted":                {&fresh, &adopted, priorityStatus, adoptionPause},
		"somebody else has changed it": {&adopted, &changed, 0, 0},
		"it is no longer adopted":      {&adopted, &fresh, 0, 0},
		"it runs and isn't adopted":    {&fresh, &started, 0, 0},
		"it is deleted":                {&adopted, nil, 0, 0},
	} {
		var queue recordingQueue
		enqueueCronJob(t.Context(), mirror.Change[*cronJob]{
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
	enqueueCronJob(t.Context(), mirror.Change[*cronJob]{
		Key: types.NamespacedName{Namespace: "orbit", Name: "report"}, Now: &fresh,
	}, &queue)
	if len(queue.requests) != 0 {
		t.Errorf("a CronJob that no policy could have: %v", queue.requests)
	}
}

// TestChangesOfCronJobsThatMatter goes through what a CronJob's record is made of.
func TestChangesOfCronJobsThatMatter(t *testing.T) {
	same := cronJobKind().Same
	for name, change := range map[string]func(*cronJob){
		"another one":        func(c *cronJob) { c.uid = "other" },
		"another controller": func(c *cronJob) { c.controller = "other" },
		"a run":              func(c *cronJob) { c.lastScheduleTime++ },
		"other fields":       func(c *cronJob) { c.own[0]++ },
	} {
		before, now := &cronJob{uid: "u"}, &cronJob{uid: "u"}
		if !same(before, now) {
			t.Fatal("it differs from itself")
		}
		if change(now); same(before, now) {
			t.Errorf("%s: the same", name)
		}
	}
}
