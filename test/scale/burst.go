// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/report"
)

// ending is a run that is about to end.
type ending struct {
	job  *batchv1.Job
	pod  *corev1.Pod
	said report.Report
}

// endAtOnce lets the Jobs of some policies end at the same time, every tenth of them badly.
func (b *bench) endAtOnce(ctx context.Context) error {
	ctx, cancel := withPatience(ctx)
	defer cancel()
	endings := make([]*ending, b.burst)
	err := each(ctx, loaders, b.burst, func(ctx context.Context, i int) error {
		var err error
		endings[i], err = b.begin(ctx, i)
		return err
	})
	if err != nil {
		return err
	}
	if _, _, err := b.cluster.audit.untilQuiet(ctx); err != nil {
		return err
	}
	byPolicy := make(map[client.ObjectKey]*ending, b.burst)
	for i, e := range endings {
		byPolicy[client.ObjectKey{Namespace: namespaceOf(i), Name: policyName(i)}] = e
	}
	statuses := b.watch(ctx, &backupv1alpha1.BackupPolicyList{}, count(b.burst, func(object client.Object) bool {
		e := byPolicy[client.ObjectKeyFromObject(object)]
		policy, ok := object.(*backupv1alpha1.BackupPolicy)
		return ok && e != nil && e.wrong(&policy.Status) == nil
	}))
	began := time.Now()
	err = each(ctx, loaders, b.burst, func(ctx context.Context, i int) error { return b.end(ctx, endings[i]) })
	if err != nil {
		return err
	}
	b.results.ending = time.Since(began)
	if err := statuses.wait(ctx); err != nil {
		return err
	}
	b.results.told = time.Since(began)
	if b.results.burstWrites, _, err = b.cluster.audit.untilQuiet(ctx); err != nil {
		return err
	}
	b.results.memoryAtEnd, b.results.peakAtEnd, err = b.operator.memory()
	return errors.Join(err, b.stillRight(ctx, byPolicy))
}

// stillRight looks at all statuses once more when everything has calmed down.
func (b *bench) stillRight(ctx context.Context, byPolicy map[client.ObjectKey]*ending) error {
	var policies backupv1alpha1.BackupPolicyList
	if err := b.cluster.admin.List(ctx, &policies); err != nil {
		return err
	}
	for i := range policies.Items {
		policy := &policies.Items[i]
		if e := byPolicy[client.ObjectKeyFromObject(policy)]; e != nil {
			if err := e.wrong(&policy.Status); err != nil {
				return fmt.Errorf("policy %s/%s: %w", policy.Namespace, policy.Name, err)
			}
		}
	}
	return nil
}

// begin makes the Job and the pod of a run, as they are while it goes on.
func (b *bench) begin(ctx context.Context, i int) (*ending, error) {
	var cronJob batchv1.CronJob
	key := client.ObjectKey{Namespace: namespaceOf(i), Name: policyName(i) + "-backup"}
	if err := b.cluster.admin.Get(ctx, key, &cronJob); err != nil {
		return nil, err
	}
	e := &ending{job: jobOf(&cronJob), said: reportOf(i)}
	if err := b.cluster.admin.Create(ctx, e.job); err != nil {
		return nil, err
	}
	e.said.Run = e.job.Name + "/" + string(e.job.UID)
	e.pod = podOf(e.job, i)
	if err := b.cluster.admin.Create(ctx, e.pod); err != nil {
		return nil, err
	}
	now := metav1.Now()
	e.job.Status = batchv1.JobStatus{StartTime: &now, Active: 1}
	if err := b.cluster.admin.Status().Update(ctx, e.job); err != nil {
		return nil, err
	}
	e.pod.Status.Phase, e.pod.Status.StartTime = corev1.PodRunning, &now
	e.pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "backup", State: corev1.ContainerState{
		Running: &corev1.ContainerStateRunning{StartedAt: now},
	}}}
	return e, b.cluster.admin.Status().Update(ctx, e.pod)
}

// end ends a run as the kubelet and kube-controller-manager do.
func (b *bench) end(ctx context.Context, e *ending) error {
	message, err := report.Encode(e.said)
	if err != nil {
		return err
	}
	now, good := metav1.Now(), e.said.Outcome == report.Succeeded
	terminated := &corev1.ContainerStateTerminated{Message: string(message), FinishedAt: now, Reason: "Completed"}
	e.pod.Status.Phase = corev1.PodSucceeded
	e.job.Status.Active = 0
	if good {
		e.job.Status.Succeeded, e.job.Status.CompletionTime = 1, &now
		e.job.Status.Conditions = conditions(now, batchv1.JobSuccessCriteriaMet, batchv1.JobComplete)
	} else {
		e.pod.Status.Phase, terminated.ExitCode, terminated.Reason = corev1.PodFailed, report.ExitInvalid, "Error"
		e.job.Status.Failed = 1
		e.job.Status.Conditions = conditions(now, batchv1.JobFailureTarget, batchv1.JobFailed)
	}
	e.pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "backup", State: corev1.ContainerState{Terminated: terminated},
	}}
	if err := b.cluster.admin.Status().Update(ctx, e.pod); err != nil {
		return err
	}
	return b.cluster.admin.Status().Update(ctx, e.job)
}

func conditions(at metav1.Time, types ...batchv1.JobConditionType) []batchv1.JobCondition {
	var all []batchv1.JobCondition
	for _, name := range types {
		all = append(all, batchv1.JobCondition{
			Type: name, Status: corev1.ConditionTrue, LastTransitionTime: at, LastProbeTime: at,
		})
	}
	return all
}

// reportOf is what a run leaves, as real ones do.
func reportOf(i int) report.Report {
	r := report.Report{
		Version: report.Version, Policy: namespaceOf(i) + "/" + policyName(i), Run: policyName(i),
		Outcome: report.Succeeded, Message: fmt.Sprintf("backed up %d files", 1000+i),
		StartTime: time.Now().Add(-time.Minute).UTC(), CompletionTime: time.Now().UTC(),
		Archive: &report.Archive{
			Name: "appliance-20261122T050000Z.tar.zst", BytesRead: 3 << 30, BytesWritten: 1 << 30, Files: int64(1000 + i),
		},
		Sync:    &report.Sync{OK: true, BytesSent: 1 << 28, Backups: 7},
		Backups: &report.Backups{Count: 7, Bytes: 7 << 30},
		Storage: &report.Space{Free: 1 << 40, Total: 2 << 40},
	}
	for day := range 7 {
		name := fmt.Sprintf("appliance-202611%02dT050000Z.tar.zst", 22-day)
		r.Backups.Newest = append(r.Backups.Newest, report.Backup{Name: name, Bytes: 1 << 30})
	}
	if i%10 == 9 {
		r = report.Report{
			Version: report.Version, Policy: r.Policy, Outcome: report.Failed, Reason: report.ReasonNotEnoughSpace,
			Message: fmt.Sprintf("%d bytes are needed and 1 is free", 1000+i),
		}
	}
	return r
}

// wrong says what of a status doesn't tell how the run ended; nil if nothing.
func (e *ending) wrong(status *backupv1alpha1.BackupPolicyStatus) error {
	last := status.LastRun
	good := e.said.Outcome == report.Succeeded
	switch {
	case last == nil:
		return errors.New("it knows of no run")
	case last.JobUID != string(e.job.UID) || string(last.Outcome) != string(e.said.Outcome) || last.Message != e.said.Message:
		return fmt.Errorf("its last run is %+v, want %+v", last, e.said)
	case good != meta.IsStatusConditionTrue(status.Conditions, backupv1alpha1.ConditionBackupSucceeded):
		return fmt.Errorf("its conditions are %+v after the outcome %s", status.Conditions, e.said.Outcome)
	case good && (status.LastSuccessTime == nil || status.Backups == nil || *last.Files != e.said.Archive.Files):
		return fmt.Errorf("it lacks figures: %+v", status)
	case !good && (status.ConsecutiveFailures == nil || *status.ConsecutiveFailures != 1):
		return fmt.Errorf("it counts %v failures in a row, want 1", status.ConsecutiveFailures)
	}
	return nil
}
