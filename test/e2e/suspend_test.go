// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestAResumedPolicyMakesUpForNothing: by itself, the CronJob controller would start the last run that was due while the
// policy was suspended. A CronJob that nobody suspends shows which runs would have been due.
func TestAResumedPolicyMakesUpForNothing(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	started := a.watchStarts()
	a.create(clock(a.namespace))
	p := a.apply("appliance", func(s *spec) { s.Schedule, s.TimeZone = "* * * * *", "Etc/UTC" })
	p.waitEnded(started.next("appliance-backup", time.Time{}).name)

	p.save(func(s *spec) { s.Suspend = ptr.To(true) })
	suspended := time.Now()
	started.next("clock", suspended.Add(2*time.Minute))
	started.wantNone("appliance-backup", suspended)

	// A full minute has just passed, so its run is the one that would be made up for.
	resuming := time.Now()
	p.save(func(s *spec) { s.Suspend = ptr.To(false) })
	resumed := time.Now()
	first := started.next("appliance-backup", time.Time{})
	if first.due.Before(resuming) {
		t.Errorf("resumed at %v, and the run of %v started", resuming, first.due)
	}
	due := resumed.Truncate(time.Minute).Add(time.Minute)
	if first.due.After(due) {
		t.Errorf("resumed at %v, and the first run that started is that of %v", resumed, first.due)
	}
}

// clock is a CronJob that makes a Job each minute. No pods come of them.
func clock(namespace string) *batchv1.CronJob {
	job := batchv1.JobSpec{Suspend: ptr.To(true)}
	job.Template.Spec = corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "none", Image: "none"}},
	}
	return &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "clock"},
		Spec:       batchv1.CronJobSpec{Schedule: "* * * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: job}},
	}
}

// start is a Job that the CronJob controller made.
type start struct {
	name string
	// due is the time that the Job is for.
	due time.Time
}

// starts are the Jobs that a namespace's CronJobs start.
type starts struct {
	t       *testing.T
	watched watch.Interface
	// unread are the starts of each CronJob that next has not returned yet, the oldest first.
	unread map[string][]start
}

// watchStarts watches the Jobs that CronJobs start from now on.
func (a *appliance) watchStarts() *starts {
	a.t.Helper()
	watched, err := cluster.Watch(a.t.Context(), &batchv1.JobList{}, client.InNamespace(a.namespace))
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(watched.Stop)
	return &starts{t: a.t, watched: watched, unread: map[string][]start{}}
}

// next waits for the next start of a CronJob for a time that is not before the given one.
func (s *starts) next(cronJob string, since time.Time) start {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for {
		for len(s.unread[cronJob]) > 0 {
			next := s.unread[cronJob][0]
			s.unread[cronJob] = s.unread[cronJob][1:]
			if !next.due.Before(since) {
				return next
			}
		}
		select {
		case event, ok := <-s.watched.ResultChan():
			if !ok {
				s.t.Fatal("the watch of Jobs ended")
			}
			s.add(event)
		case <-ctx.Done():
			s.t.Fatalf("CronJob %s starts nothing for a time since %v", cronJob, since)
		}
	}
}

// add remembers the start that an event is of.
func (s *starts) add(event watch.Event) {
	s.t.Helper()
	job, ok := event.Object.(*batchv1.Job)
	if !ok {
		s.t.Fatalf("the watch of Jobs brings %+v", event)
	}
	controller := metav1.GetControllerOf(job)
	if event.Type != watch.Added || controller == nil {
		return
	}
	due, err := time.Parse(time.RFC3339, job.Annotations[batchv1.CronJobScheduledTimestampAnnotation])
	if err != nil {
		s.t.Fatalf("Job %s: %v", job.Name, err)
	}
	s.unread[controller.Name] = append(s.unread[controller.Name], start{name: job.Name, due: due})
}

// wantNone fails the test if a CronJob has started a run for a time since the given one, and forgets those that it has
// started for earlier ones.
func (s *starts) wantNone(cronJob string, since time.Time) {
	s.t.Helper()
	for _, start := range s.unread[cronJob] {
		if start.due.After(since) {
			s.t.Errorf("CronJob %s has started the run of %v", cronJob, start.due)
		}
	}
	delete(s.unread, cronJob)
}
