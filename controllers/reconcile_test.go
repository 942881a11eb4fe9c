// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/report"
	"appliance.io/backup-operator/test/controlplane"
)

var pageClaims = []string{
	"appliance-data", "appliance-logs", "appliance-config", "appliance-sessions", "appliance-backups",
}

func oneGi() *resource.Quantity { return ptr.To(resource.MustParse("1Gi")) }

// apply makes the policy of a test file in the namespace.
func apply(t *testing.T, file, namespace string) *backupv1alpha1.BackupPolicy {
	t.Helper()
	policy := readPolicy(t, file)
	policy.Namespace, policy.UID = namespace, ""
	if err := controlplane.NewClient(t).Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	return policy
}

// change changes the policy's spec.
func change(t *testing.T, policy *backupv1alpha1.BackupPolicy, mutate func(*backupv1alpha1.BackupPolicySpec)) {
	t.Helper()
	before := policy.DeepCopy()
	mutate(&policy.Spec)
	if err := controlplane.NewClient(t).Patch(t.Context(), policy, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// waitReady waits until Ready speaks of the policy's present generation, with such a status and reason.
func waitReady(
	t *testing.T, policy *backupv1alpha1.BackupPolicy, status metav1.ConditionStatus, reason string,
) *metav1.Condition {
	t.Helper()
	var ready *metav1.Condition
	eventually(t, func() error {
		var now backupv1alpha1.BackupPolicy
		err := controlplane.NewClient(t).Get(t.Context(), client.ObjectKeyFromObject(policy), &now)
		if err != nil {
			return err
		}
		ready = meta.FindStatusCondition(now.Status.Conditions, "Ready")
		if ready == nil || ready.ObservedGeneration != now.Generation || ready.Status != status || ready.Reason != reason {
			return fmt.Errorf("Ready of generation %d is %+v, want %s (%s)", now.Generation, ready, status, reason)
		}
		return nil
	})
	return ready
}

func mustGetCronJob(t *testing.T, policy *backupv1alpha1.BackupPolicy) *batchv1.CronJob {
	t.Helper()
	var cronJob batchv1.CronJob
	key := client.ObjectKey{Namespace: policy.Namespace, Name: CronJobName(policy.Name)}
	if err := controlplane.NewClient(t).Get(t.Context(), key, &cronJob); err != nil {
		t.Fatal(err)
	}
	return &cronJob
}

func TestAPolicyMakesACronJob(t *testing.T) {
	policy := apply(t, "testdata/page.yaml", namespace(t, pageClaims...))
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	cronJob := mustGetCronJob(t, policy)
	if !cronJobRecordOf(cronJob).ownedBy(policy) {
		t.Error("the CronJob would outlive the policy")
	}
	if cronJob.Spec.TimeZone == nil || *cronJob.Spec.TimeZone != "America/Sao_Paulo" {
		t.Errorf("time zone %v", cronJob.Spec.TimeZone)
	}
	// What would be applied next is what is there already: that is how the operator knows that nothing changed.
	idle := *reconciler
	idle.Client = interceptor.NewClient(controlplane.NewClient(t), interceptor.Funcs{
		Apply: func(context.Context, client.WithWatch, runtime.ApplyConfiguration, ...client.ApplyOption) error {
			return errors.New("applied again although nothing changed")
		},
	})
	schedule, _ := checkSettings(policy, idle.Options)
	if err := idle.applyCronJob(t.Context(), BuildCronJob(policy, schedule, nil, idle.Options), cronJobRecordOf(cronJob)); err != nil {
		t.Error(err)
	}
}

func TestSettingsTakeEffect(t *testing.T) {
	policy := apply(t, "testdata/job.yaml", namespace(t, "data", "backups"))
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	change(t, policy, func(s *backupv1alpha1.BackupPolicySpec) {
		s.TotalBackups, s.Schedule, s.TimeZone, s.Suspend = 3, "30 4 * * *", "", ptr.To(true)
		s.Job = nil
	})
	waitReady(t, policy, metav1.ConditionTrue, "Suspended")
	cronJob := mustGetCronJob(t, policy)
	pod := cronJob.Spec.JobTemplate.Spec.Template.Spec
	if cronJob.Spec.Schedule != "30 4 * * *" || !*cronJob.Spec.Suspend || !slices.Contains(pod.Containers[0].Args, "--keep=3") {
		t.Errorf("%+v", cronJob.Spec)
	}
	// What was taken out of the policy is out of the CronJob.
	if cronJob.Spec.TimeZone != nil || len(pod.NodeSelector)+len(pod.Tolerations)+len(pod.InitContainers) != 0 ||
		pod.Affinity != nil || pod.PriorityClassName != "" || *pod.SecurityContext.RunAsUser != 0 ||
		cronJob.Spec.JobTemplate.Labels["kueue.x-k8s.io/queue-name"] != "" {
		t.Errorf("something of the old settings stayed: %+v", pod)
	}
}

func TestWhatOthersChangeIsMended(t *testing.T) {
	policy := apply(t, "testdata/minimal.yaml", namespace(t, "data", "backups"))
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	wanted := mustGetCronJob(t, policy)
	meddled := wanted.DeepCopy()
	meddled.Spec.Suspend = ptr.To(true)
	meddled.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args[0] = "list"
	c := controlplane.NewClient(t)
	if err := c.Update(t.Context(), meddled); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if diff := cmp.Diff(wanted.Spec, mustGetCronJob(t, policy).Spec); diff != "" {
			return fmt.Errorf("not mended: %s", diff)
		}
		return nil
	})
	if err := c.Delete(t.Context(), mustGetCronJob(t, policy)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		key := client.ObjectKey{Namespace: policy.Namespace, Name: CronJobName(policy.Name)}
		return c.Get(t.Context(), key, &batchv1.CronJob{})
	})
}

func TestBadSettingsLeaveTheOldOnesInForce(t *testing.T) {
	policy := apply(t, "testdata/minimal.yaml", namespace(t, "data", "backups"))
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	before := mustGetCronJob(t, policy)
	change(t, policy, func(s *backupv1alpha1.BackupPolicySpec) { s.Schedule = "99 99 * * *" })
	ready := waitReady(t, policy, metav1.ConditionFalse, "InvalidSchedule")
	if !strings.Contains(ready.Message, "the previous settings remain in effect") {
		t.Errorf("message: %s", ready.Message)
	}
	if after := mustGetCronJob(t, policy); after.ResourceVersion != before.ResourceVersion {
		t.Error("the CronJob was touched")
	}
	var now backupv1alpha1.BackupPolicy
	if err := controlplane.NewClient(t).Get(t.Context(), client.ObjectKeyFromObject(policy), &now); err != nil {
		t.Fatal(err)
	}
	if now.Status.Schedule != before.Spec.Schedule || now.Status.NextScheduleTime == nil {
		t.Errorf("the status does not tell of the schedule in force: %+v", now.Status)
	}
	change(t, policy, func(s *backupv1alpha1.BackupPolicySpec) { s.Schedule = "0 5 * * *" })
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
}

func TestWhatTheAPIServerRefusesIsTold(t *testing.T) {
	policy := readPolicy(t, "testdata/job.yaml")
	policy.Namespace, policy.UID = namespace(t, "data", "backups"), ""
	policy.Spec.Job.InitContainers[0].VolumeMounts[0].Name = "dmup"
	if err := controlplane.NewClient(t).Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	ready := waitReady(t, policy, metav1.ConditionFalse, "CronJobRefused")
	if !strings.Contains(ready.Message, "dmup") || !strings.Contains(ready.Message, "spec.job") {
		t.Errorf("message: %s", ready.Message)
	}
}

// noneOf makes a quota by which a namespace may have none of something.
func noneOf(t *testing.T, namespace string, what corev1.ResourceName) *corev1.ResourceQuota {
	t.Helper()
	none := corev1.ResourceList{what: resource.MustParse("0")}
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "none", Namespace: namespace}}
	quota.Spec.Hard = none
	c := controlplane.NewClient(t)
	if err := c.Create(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	quota.Status.Hard, quota.Status.Used = none, none // As the controller manager would.
	if err := c.Status().Update(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	return quota
}

// TestWhatTheAPIServerRefusesIsTriedAgain, because nothing tells when a quota has been raised.
func TestWhatTheAPIServerRefusesIsTriedAgain(t *testing.T) {
	ns := namespace(t, "data", "backups")
	c := controlplane.NewClient(t)
	quota := noneOf(t, ns, "count/cronjobs.batch")
	policy := apply(t, "testdata/minimal.yaml", ns)
	waitReady(t, policy, metav1.ConditionFalse, "CronJobRefused")
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(policy)}
	eventually(t, func() error {
		result, err := reconciler.Reconcile(t.Context(), request)
		if err == nil && result.RequeueAfter != refusedPause {
			err = fmt.Errorf("tried again after %s", result.RequeueAfter)
		}
		return err
	})
	if err := c.Delete(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_, err := reconciler.Reconcile(t.Context(), request)
		if err != nil {
			return err
		}
		_, err = (&BackupPolicyReconciler{APIReader: c}).getCronJob(t.Context(), policy)
		return err
	})
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
}

func TestAStrangersCronJobIsLeftAlone(t *testing.T) {
	ns := namespace(t, "data", "backups")
	stranger := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "small-backup", Namespace: ns}}
	stranger.Spec.Schedule = "0 0 * * *"
	stranger.Spec.JobTemplate.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	stranger.Spec.JobTemplate.Spec.Template.Spec.Containers = []corev1.Container{{Name: "c", Image: "i"}}
	c := controlplane.NewClient(t)
	if err := c.Create(t.Context(), stranger); err != nil {
		t.Fatal(err)
	}
	// At once, so that the cache may well not know of the CronJob.
	policy := apply(t, "testdata/minimal.yaml", ns)
	ready := waitReady(t, policy, metav1.ConditionFalse, "CronJobNotOwned")
	if !strings.Contains(ready.Message, "small-backup") {
		t.Errorf("message: %s", ready.Message)
	}
	if now := mustGetCronJob(t, policy); now.ResourceVersion != stranger.ResourceVersion {
		t.Error("the stranger's CronJob was touched")
	}
	if err := c.Delete(t.Context(), stranger); err != nil {
		t.Fatal(err)
	}
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
}

func TestAMissingClaimIsWaitedFor(t *testing.T) {
	ns := namespace(t, "backups")
	policy := apply(t, "testdata/minimal.yaml", ns)
	ready := waitReady(t, policy, metav1.ConditionFalse, "ClaimNotFound")
	if !strings.Contains(ready.Message, "data") || strings.Contains(ready.Message, "backups,") {
		t.Errorf("message: %s", ready.Message)
	}
	mustGetCronJob(t, policy) // Backups begin when the claim is there, operator or not.
	createClaim(t, ns, "data")
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
}

// TestRunsReachTheStatus makes a Job and a pod as the CronJob's would be and ends them as the kubelet would.
func TestRunsReachTheStatus(t *testing.T) {
	ns := namespace(t, "data", "backups")
	policy := apply(t, "testdata/minimal.yaml", ns)
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	endRun(t, policy, "small-backup-1", report.Report{
		Outcome: report.Failed, Reason: report.ReasonNotEnoughSpace, Message: "needed 9 bytes, 1 free",
	})
	waitRun(t, policy, "small-backup-1", "Failed", 1)
	endRun(t, policy, "small-backup-2", good())
	now := waitRun(t, policy, "small-backup-2", "Succeeded", 0)
	if now.Status.LastSuccessTime == nil || *now.Status.Backups.Count != 2 || *now.Status.LastRun.BytesRead != 100 {
		t.Errorf("%+v", now.Status)
	}
	eventually(t, func() error {
		var all eventsv1.EventList
		if err := controlplane.NewClient(t).List(t.Context(), &all, client.InNamespace(ns)); err != nil {
			return err
		}
		var reasons []string
		for _, e := range all.Items {
			reasons = append(reasons, e.Type+" "+e.Reason)
		}
		slices.Sort(reasons)
		want := []string{"Normal BackupSucceeded", "Normal Scheduled", "Warning NotEnoughSpace"}
		if diff := cmp.Diff(want, reasons); diff != "" {
			return fmt.Errorf("events: %s", diff)
		}
		return nil
	})
}

func waitRun(
	t *testing.T, policy *backupv1alpha1.BackupPolicy, job, outcome string, failures int32,
) *backupv1alpha1.BackupPolicy {
	t.Helper()
	now := &backupv1alpha1.BackupPolicy{}
	eventually(t, func() error {
		err := controlplane.NewClient(t).Get(t.Context(), client.ObjectKeyFromObject(policy), now)
		if err != nil {
			return err
		}
		last := now.Status.LastRun
		if last == nil || last.Job != job || string(last.Outcome) != outcome || *now.Status.ConsecutiveFailures != failures {
			return fmt.Errorf("last run %+v", last)
		}
		return nil
	})
	return now
}

// createJobFrom makes a Job as kubectl create job --from does.
func createJobFrom(t *testing.T, cronJob *batchv1.CronJob, name string) *batchv1.Job {
	t.Helper()
	job := buildRunNow(&backupv1alpha1.BackupPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: cronJob.Namespace}}, cronJob)
	job.Name = name
	delete(job.Annotations, backupv1alpha1.AnnotationRunNow)
	if err := controlplane.NewClient(t).Create(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	return job
}

// endRun leaves a Job with one pod behind, both ended, as a run with such a report does.
func endRun(t *testing.T, policy *backupv1alpha1.BackupPolicy, name string, said report.Report) {
	t.Helper()
	c := controlplane.NewClient(t)
	template := mustGetCronJob(t, policy).Spec.JobTemplate
	job := createJobFrom(t, mustGetCronJob(t, policy), name)
	said.Policy, said.Run = policy.Namespace+"/"+policy.Name, runID(job)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: policy.Namespace, Labels: template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))},
		},
		Spec: template.Spec.Template.Spec,
	}
	if err := c.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	message, err := report.Encode(said)
	if err != nil {
		t.Fatal(err)
	}
	now := metav1.Now()
	pod.Status.Phase = corev1.PodSucceeded
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: runnerContainer, State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{Message: string(message), FinishedAt: now, ExitCode: exitOf(said.Outcome)},
	}}}
	job.Status.StartTime = &now
	if said.Outcome == report.Succeeded {
		job.Status.CompletionTime, job.Status.Succeeded = &now, 1
		job.Status.Conditions = jobConditions(now, batchv1.JobSuccessCriteriaMet, batchv1.JobComplete)
	} else {
		pod.Status.Phase, job.Status.Failed = corev1.PodFailed, 1
		job.Status.Conditions = jobConditions(now, batchv1.JobFailureTarget, batchv1.JobFailed)
	}
	if err := c.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	if err := c.Status().Update(t.Context(), job); err != nil {
		t.Fatal(err)
	}
}

// exitOf is the exit status of a run.
func exitOf(outcome report.Outcome) int32 {
	return map[report.Outcome]int32{report.Incomplete: report.ExitIncomplete, report.Failed: report.ExitFailed}[outcome]
}

func jobConditions(at metav1.Time, types ...batchv1.JobConditionType) []batchv1.JobCondition {
	var all []batchv1.JobCondition
	for _, name := range types {
		all = append(all, batchv1.JobCondition{
			Type: name, Status: corev1.ConditionTrue, LastTransitionTime: at, LastProbeTime: at, Reason: "Because",
		})
	}
	return all
}

// TestDeletingAPolicyIsQuick: there is no finalizer that an absent operator would leave hanging.
func TestDeletingAPolicyIsQuick(t *testing.T) {
	policy := apply(t, "testdata/minimal.yaml", namespace(t, "data", "backups"))
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	c := controlplane.NewClient(t)
	if err := c.Delete(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(policy), policy); !apierrors.IsNotFound(err) {
		t.Errorf("still there: %v", err)
	}
}
