// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/test/controlplane"
)

// blocked is a policy with a scheduled run that can't start, and whose settings have been corrected since.
func blocked(t *testing.T, annotations map[string]string) (*backupv1alpha1.BackupPolicy, *batchv1.Job) {
	t.Helper()
	policy := apply(t, "testdata/minimal.yaml", namespace(t, "data", "backups"))
	old := jobFrom(waitAdopted(t, policy), "small-backup-29387520", annotations)
	if err := controlplane.NewClient(t).Create(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	change(t, policy, func(spec *backupv1alpha1.BackupPolicySpec) {
		spec.Job = &backupv1alpha1.JobTemplate{NodeSelector: map[string]string{"corrected": "true"}}
	})
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	return policy, old
}

// laterReconciler is an operator to which runs have waited for longer than they may.
func laterReconciler() *BackupPolicyReconciler {
	later := *reconciler
	later.Clock = laterClock{by: 10 * time.Minute}
	return &later
}

// reconcileUntilReplaced reconciles until the policy has one Job, which is not this one.
func reconcileUntilReplaced(t *testing.T, policy *backupv1alpha1.BackupPolicy, old *batchv1.Job) *batchv1.Job {
	t.Helper()
	var jobs []batchv1.Job
	eventually(t, func() error {
		_, err := laterReconciler().Reconcile(t.Context(), ctrl.Request{NamespacedName: keyOf(policy)})
		if err != nil {
			return err
		}
		if jobs = jobsOf(t, policy); len(jobs) != 1 || jobs[0].UID == old.UID {
			return fmt.Errorf("%d Jobs, the first is %s", len(jobs), jobs[0].Name)
		}
		return nil
	})
	return &jobs[0]
}

func TestARunThatNeverStartedIsReplacedOnceItsSettingsAreCorrected(t *testing.T) {
	policy, old := blocked(t, map[string]string{backupv1alpha1.AnnotationRunNow: "before the upgrade"})
	next := reconcileUntilReplaced(t, policy, old)
	if next.Spec.Template.Spec.NodeSelector["corrected"] != "true" {
		t.Errorf("the new run has the node selector %v", next.Spec.Template.Spec.NodeSelector)
	}
	for annotation, want := range map[string]string{
		backupv1alpha1.AnnotationReplaces: old.Name, backupv1alpha1.AnnotationRunNow: "before the upgrade",
	} {
		if got := next.Annotations[annotation]; got != want {
			t.Errorf("%s is %q, want %q", annotation, got, want)
		}
	}
	eventually(t, func() error {
		var now backupv1alpha1.BackupPolicy
		if err := controlplane.NewClient(t).Get(t.Context(), keyOf(policy), &now); err != nil {
			return err
		}
		if active := now.Status.ActiveJobs; len(active) != 1 || active[0] != next.Name {
			return fmt.Errorf("active: %v", active)
		}
		if now.Status.LastRun != nil {
			t.Errorf("the run that was replaced counts as one that ended: %+v", now.Status.LastRun)
		}
		return nil
	})
	// The new run waits just as long, and stays: it has the policy's settings.
	reconcileAgain(t, policy)
	if again := reconcileUntilReplaced(t, policy, old); again.UID != next.UID {
		t.Errorf("%s was replaced by %s", next.Name, again.Name)
	}
}

// TestAnOperatorThatDiedWhileReplacingARunFinishesIt had made the new Job, and not deleted the old one.
func TestAnOperatorThatDiedWhileReplacingARunFinishesIt(t *testing.T) {
	policy, old := blocked(t, nil)
	next := buildReplacement(policy, mustGetCronJob(t, policy), old)
	if err := controlplane.NewClient(t).Create(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if got := reconcileUntilReplaced(t, policy, old); got.UID != next.UID {
		t.Errorf("%s, want %s", got.Name, next.Name)
	}
}

// TestARunThatStartedMeanwhileIsNotReplaced, though the cache doesn't know that it did.
func TestARunThatStartedMeanwhileIsNotReplaced(t *testing.T) {
	policy, old := blocked(t, nil)
	c := controlplane.NewClient(t)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "started", Namespace: policy.Namespace, Labels: old.Spec.Template.Labels,
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(old, batchv1.SchemeGroupVersion.WithKind("Job"))},
	}}
	pod.Spec.Containers = []corev1.Container{{Name: runnerContainer, Image: "i"}}
	if err := c.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{started()}
	if err := c.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	template := mustGetCronJob(t, policy).Spec.JobTemplate.Annotations[backupv1alpha1.AnnotationTemplate]
	next, err := laterReconciler().replace(t.Context(), policy, template, old)
	if next != nil || err != nil {
		t.Errorf("replaced by %+v (%v)", next, err)
	}
	if jobs := jobsOf(t, policy); len(jobs) != 1 || jobs[0].UID != old.UID {
		t.Errorf("Jobs: %+v", jobs)
	}
}

func started() corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: runnerContainer, State: corev1.ContainerState{
		Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()},
	}}
}

func TestWhichRunsAreReplaced(t *testing.T) {
	const cronJob = types.UID("uid-cronjob")
	waits := corev1.ContainerStatus{Name: runnerContainer, State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"},
	}}
	crashed := corev1.ContainerStatus{Name: runnerContainer, RestartCount: 1, State: waits.State}
	pod := func(statuses ...corev1.ContainerStatus) []corev1.Pod {
		return []corev1.Pod{{Status: corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: statuses}}}
	}
	for name, c := range map[string]struct {
		change func(*batchv1.Job)
		pods   []corev1.Pod
		known  *delay
		waited time.Duration
		want   bool
	}{
		"without a pod":                 {waited: time.Hour, want: true},
		"its image can't be pulled":     {waited: time.Hour, pods: pod(waits), want: true},
		"it hasn't waited long":         {waited: time.Second},
		"it is known to be delayed":     {waited: time.Second, known: &delay{subject: "run"}, want: true},
		"another is known to be":        {waited: time.Second, known: &delay{subject: "another"}},
		"a container runs":              {waited: time.Hour, pods: pod(started())},
		"a container was started again": {waited: time.Hour, pods: pod(crashed)},
		"an init container ran": {waited: time.Hour, pods: []corev1.Pod{{Status: corev1.PodStatus{
			Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{{Name: "dump", State: corev1.ContainerState{
				Terminated: &corev1.ContainerStateTerminated{},
			}}},
		}}}},
		"an earlier pod failed": {
			waited: time.Hour, change: func(j *batchv1.Job) { j.Status.Failed = 1 },
		},
		"it has the policy's settings": {
			waited: time.Hour, change: func(j *batchv1.Job) { j.Annotations[backupv1alpha1.AnnotationTemplate] = "now" },
		},
		"nobody knows its settings": {waited: time.Hour, change: func(j *batchv1.Job) { j.Annotations = nil }},
		"it is somebody else's":     {waited: time.Hour, change: func(j *batchv1.Job) { j.OwnerReferences = nil }},
		"it is being deleted": {
			waited: time.Hour, change: func(j *batchv1.Job) { j.DeletionTimestamp = ptr.To(metav1.NewTime(start)) },
		},
		"it has ended": {waited: time.Hour, change: func(j *batchv1.Job) {
			j.Status.Conditions = jobConditions(metav1.NewTime(start), batchv1.JobFailed)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			job := batchv1.Job{ObjectMeta: metav1.ObjectMeta{
				Name: "run", UID: "uid-run", CreationTimestamp: metav1.NewTime(start),
				Annotations:     map[string]string{backupv1alpha1.AnnotationTemplate: "before"},
				OwnerReferences: []metav1.OwnerReference{{UID: cronJob, Controller: ptr.To(true)}},
			}}
			for i := range c.pods {
				c.pods[i].CreationTimestamp = job.CreationTimestamp
			}
			if c.change != nil {
				c.change(&job)
			}
			seen := observation{
				cronJob: &cronJobRecord{uid: cronJob}, grace: time.Minute, jobs: []batchv1.Job{job},
				pods: map[types.UID][]corev1.Pod{job.UID: c.pods},
			}
			if run := outdatedRun("now", seen, c.known, start.Add(c.waited)); (run != nil) != c.want {
				t.Errorf("replaced: %t, want %t", run != nil, c.want)
			}
		})
	}
}

// TestTheTemplateOfJobsSaysWhichItIs: whatever differs between two templates, so does its digest; the times of the schedule
// are no part of it.
func TestTheTemplateOfJobsSaysWhichItIs(t *testing.T) {
	digest := func(mutate func(*backupv1alpha1.BackupPolicySpec)) string {
		policy := readPolicy(t, "testdata/page.yaml")
		mutate(&policy.Spec)
		schedule, fault := checkSettings(policy, Options{})
		if fault != nil {
			t.Fatal(fault.message)
		}
		return BuildCronJob(policy, schedule, nil, Options{RunnerImage: "i"}).Spec.JobTemplate.Annotations[backupv1alpha1.AnnotationTemplate]
	}
	same := digest(func(*backupv1alpha1.BackupPolicySpec) {})
	for name, mutate := range map[string]func(*backupv1alpha1.BackupPolicySpec){
		"the schedule":    func(s *backupv1alpha1.BackupPolicySpec) { s.Schedule = "1 1 * * *" },
		"being suspended": func(s *backupv1alpha1.BackupPolicySpec) { s.Suspend = ptr.To(true) },
		"runNow":          func(s *backupv1alpha1.BackupPolicySpec) { s.RunNow = "now" },
	} {
		if digest(mutate) != same {
			t.Errorf("%s changes the template", name)
		}
	}
	for name, mutate := range map[string]func(*backupv1alpha1.BackupPolicySpec){
		"labels": func(s *backupv1alpha1.BackupPolicySpec) {
			s.Job = &backupv1alpha1.JobTemplate{Labels: map[string]string{"a": "b"}}
		},
		"directory": func(s *backupv1alpha1.BackupPolicySpec) { s.BackupDirectory = "/elsewhere" },
		"deadline": func(s *backupv1alpha1.BackupPolicySpec) {
			s.Job = &backupv1alpha1.JobTemplate{ActiveDeadlineSeconds: ptr.To[int64](60)}
		},
	} {
		if digest(mutate) == same {
			t.Errorf("%s does not change the template", name)
		}
	}
}
