// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unique"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/report"
)

var start = time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC)

// history is what a cluster remembers of a policy's runs, made up run by run.
type pastRuns struct {
	t    *testing.T
	seen observation
	// policy is the policy as it is when a run starts.
	policy *backupv1alpha1.BackupPolicy
}

func newPastRuns(t *testing.T) *pastRuns {
	return &pastRuns{t: t, policy: rsyncPolicy(), seen: observation{pods: map[types.UID][]corev1.Pod{}}}
}

// of has the runs that are added from here on be those of a policy.
func (p *pastRuns) of(policy *backupv1alpha1.BackupPolicy) *pastRuns {
	p.policy = policy
	return p
}

// job adds a Job that ended so many minutes after start.
func (p *pastRuns) job(name string, minutes int, condition batchv1.JobConditionType, reason string) types.UID {
	end := metav1.NewTime(start.Add(time.Duration(minutes) * time.Minute))
	job := batchv1.Job{ObjectMeta: jobMeta(p.policy)}
	job.Name, job.Namespace, job.UID = name, "orbit", types.UID("uid-"+name)
	if condition == batchv1.JobComplete {
		job.Status.Succeeded = 1
	}
	job.CreationTimestamp = metav1.NewTime(end.Add(-time.Minute))
	job.Status.StartTime = &job.CreationTimestamp
	job.Spec.ActiveDeadlineSeconds = ptr.To[int64](60)
	job.Status.Conditions = []batchv1.JobCondition{{
		Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: end, Reason: reason, Message: "the Job's words",
	}}
	p.seen.jobs = append(p.seen.jobs, job)
	return job.UID
}

// pod adds a pod whose runner ended with such a message; each later pod of a Job ends later.
func (p *pastRuns) pod(job types.UID, phase corev1.PodPhase, exitCode int32, reason, message string) {
	ended := start.Add(time.Duration(len(p.seen.pods[job])) * time.Second)
	pod := corev1.Pod{Status: corev1.PodStatus{Phase: phase, ContainerStatuses: []corev1.ContainerStatus{{
		Name: runnerContainer, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: exitCode, Reason: reason, Message: message, FinishedAt: metav1.NewTime(ended),
		}},
	}}}}
	p.seen.pods[job] = append(p.seen.pods[job], pod)
}

func (p *pastRuns) reported(job types.UID, r report.Report) {
	p.t.Helper()
	name := strings.TrimPrefix(string(job), "uid-")
	r.Policy, r.Run = "orbit/"+p.policy.Name, name+"/"+string(job)
	message, err := report.Encode(r)
	if err != nil {
		p.t.Fatal(err)
	}
	phase := corev1.PodFailed
	isJob := func(j batchv1.Job) bool { return j.UID == job }
	if i := slices.IndexFunc(p.seen.jobs, isJob); r.Outcome == report.Succeeded || p.seen.jobs[i].Status.Succeeded > 0 {
		phase = corev1.PodSucceeded
	}
	p.pod(job, phase, exitOf(r.Outcome), "Completed", string(message))
}

// dump adds a pod whose init container failed, so that the runner never began.
func (p *pastRuns) dump(job types.UID, exitCode int32, reason, message string) {
	p.seen.pods[job] = []corev1.Pod{{Status: corev1.PodStatus{
		Phase: corev1.PodFailed,
		InitContainerStatuses: []corev1.ContainerStatus{{Name: "dump", State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: exitCode, Reason: reason, Message: message},
		}}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: runnerContainer, State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"},
		}}},
	}}}
}

func (p *pastRuns) succeeded(name string, minutes int) {
	p.t.Helper()
	p.reported(p.job(name, minutes, batchv1.JobComplete, ""), good())
}

func good() report.Report {
	return report.Report{
		Outcome: report.Succeeded, Message: "made a.tar.zst",
		Archive: &report.Archive{Name: "a.tar.zst", BytesRead: 100, BytesWritten: 40, Files: 3},
		Sync:    &report.Sync{OK: true, BytesSent: 41, Backups: 2},
		Backups: &report.Backups{Count: 2, Bytes: 80, Newest: []report.Backup{{Name: "a.tar.zst", Bytes: 40}}},
		Storage: &report.Space{Free: 1000, Total: 2000},
	}
}

func rsyncPolicy() *backupv1alpha1.BackupPolicy {
	policy := &backupv1alpha1.BackupPolicy{ObjectMeta: metav1.ObjectMeta{
		Name: "appliance", Namespace: "orbit", Generation: 3,
	}}
	policy.Spec.Schedule = "0 5 * * *"
	policy.Spec.FileBackupMode = backupv1alpha1.FileBackupModeRSYNC
	policy.Spec.ApplicationBackup = &backupv1alpha1.Backup{Enabled: ptr.To(true)}
	return policy
}

// statusOf is the policy's next status, and is made its present one, as Reconcile does.
func statusOf(t *testing.T, policy *backupv1alpha1.BackupPolicy, seen observation) *backupv1alpha1.BackupPolicyStatus {
	t.Helper()
	schedule, fault := checkSettings(policy, Options{})
	if fault != nil {
		t.Fatal(fault.message)
	}
	status := nextStatus(policy, inForce(policy, schedule), seen, start)
	policy.Status = *status
	return status
}

func wantCondition(
	t *testing.T, status *backupv1alpha1.BackupPolicyStatus, name string, want metav1.ConditionStatus, reason string,
) {
	t.Helper()
	got := meta.FindStatusCondition(status.Conditions, name)
	if got == nil {
		t.Errorf("no condition %s", name)
	} else if got.Status != want || got.Reason != reason {
		t.Errorf("%s is %s (%s: %s), want %s (%s)", name, got.Status, got.Reason, got.Message, want, reason)
	}
}

func TestStatusBeforeTheFirstRun(t *testing.T) {
	status := statusOf(t, rsyncPolicy(), newPastRuns(t).seen)
	wantCondition(t, status, "Ready", metav1.ConditionTrue, "Scheduled")
	wantCondition(t, status, "BackupSucceeded", metav1.ConditionUnknown, "NoRunYet")
	wantCondition(t, status, "Synchronized", metav1.ConditionUnknown, "NoRunYet")
	if status.ObservedGeneration != 3 || status.Schedule != "0 5 * * *" {
		t.Errorf("generation %d, schedule %q", status.ObservedGeneration, status.Schedule)
	}
	if next := status.NextScheduleTime; next == nil || !next.Time.Equal(start.AddDate(0, 0, 1)) {
		t.Errorf("next run at %v", next)
	}
}

func TestStatusOfASuccess(t *testing.T) {
	past := newPastRuns(t)
	past.succeeded("run-1", 1)
	status := statusOf(t, rsyncPolicy(), past.seen)
	wantCondition(t, status, "BackupSucceeded", metav1.ConditionTrue, "Succeeded")
	wantCondition(t, status, "Synchronized", metav1.ConditionTrue, "Succeeded")
	ended := metav1.NewTime(start.Add(time.Minute))
	want := &backupv1alpha1.Run{
		Job: "run-1", JobUID: "uid-run-1", Outcome: "Succeeded", Message: "made a.tar.zst",
		StartTime: ptr.To(metav1.NewTime(start)), CompletionTime: &ended, Duration: &metav1.Duration{Duration: time.Minute},
		Archive: "a.tar.zst", BytesRead: ptr.To[int64](100), BytesWritten: ptr.To[int64](40), Files: ptr.To[int64](3),
		BytesSent: ptr.To[int64](41),
	}
	if diff := cmp.Diff(want, status.LastRun); diff != "" {
		t.Error(diff)
	}
	if *status.ConsecutiveFailures != 0 || !status.LastSuccessTime.Equal(&ended) {
		t.Errorf("failures %d, last success %s", *status.ConsecutiveFailures, status.LastSuccessTime)
	}
	if b := status.Backups; *b.Count != 2 || *b.Bytes != 80 || *b.FreeBytes != 1000 || *b.TotalBytes != 2000 || b.Newest[0].Name != "a.tar.zst" {
		t.Errorf("backups %+v", b)
	}
}

// TestAnIncompleteRunIsNoSuccess holds even where the Job thinks otherwise.
func TestAnIncompleteRunIsNoSuccess(t *testing.T) {
	for _, condition := range []batchv1.JobConditionType{batchv1.JobFailed, batchv1.JobComplete} {
		past := newPastRuns(t)
		said := good()
		said.Outcome, said.Reason, said.Message = report.Incomplete, report.ReasonFilesUnreadable, "2 files"
		past.reported(past.job("run-1", 1, condition, "PodFailurePolicy"), said)
		status := statusOf(t, rsyncPolicy(), past.seen)
		wantCondition(t, status, "BackupSucceeded", metav1.ConditionFalse, "FilesUnreadable")
		wantCondition(t, status, "Synchronized", metav1.ConditionTrue, "Succeeded")
		if status.LastSuccessTime != nil || *status.ConsecutiveFailures != 1 || status.LastRun.Outcome != "Incomplete" {
			t.Errorf("%s: %+v", condition, status.LastRun)
		}
	}
}

func TestARunThatCouldNotSpeak(t *testing.T) {
	for _, c := range []struct {
		name, jobReason, reason, message string
		pod                              func(*pastRuns, types.UID)
	}{
		{"out of memory", "BackoffLimitExceeded", "OOMKilled", "limit of 64Mi: raise job.resources.limits.memory",
			func(p *pastRuns, job types.UID) {
				p.pod(job, corev1.PodFailed, 137, "OOMKilled", "")
				p.seen.pods[job][0].Spec.Containers = []corev1.Container{{Name: runnerContainer, Resources: corev1.ResourceRequirements{
					Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
				}}}
			}},
		{"a dump out of memory", "BackoffLimitExceeded", "OOMKilled", "init container dump was killed",
			func(p *pastRuns, job types.UID) { p.dump(job, 137, "OOMKilled", "") }},
		{"a dump that failed", "BackoffLimitExceeded", "BackoffLimitExceeded", "dump ended with exit code 1 (no such database)",
			func(p *pastRuns, job types.UID) { p.dump(job, 1, "Error", "no such\n database\n") }},
		{"no pod left", "DeadlineExceeded", "DeadlineExceeded", "took longer than job.activeDeadlineSeconds (60)",
			func(*pastRuns, types.UID) {}},
		{"no pod left, and no deadline", "BackoffLimitExceeded", "BackoffLimitExceeded",
			"the Job's words; look at kubectl -n orbit describe job run-1", func(*pastRuns, types.UID) {}},
		{"evicted before it began", "BackoffLimitExceeded", "Evicted", "exceeds the limit",
			func(p *pastRuns, job types.UID) {
				p.seen.pods[job] = []corev1.Pod{{Status: corev1.PodStatus{
					Phase: corev1.PodFailed, Reason: "Evicted", Message: "Usage of EmptyDir volume \"dump\" exceeds the limit \"1Mi\". ",
				}}}
			}},
		{"evicted while it ran", "BackoffLimitExceeded", "Evicted", "low on resource: memory",
			func(p *pastRuns, job types.UID) {
				p.reported(job, report.Report{Outcome: report.Failed, Reason: report.ReasonInterrupted, Message: "told to stop"})
				p.seen.pods[job][0].Status.Conditions = []corev1.PodCondition{{
					Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "TerminationByKubelet",
					Message: "The node was low on resource: memory.",
				}}
			}},
		{"told to stop by its deadline", "DeadlineExceeded", "DeadlineExceeded", "job.activeDeadlineSeconds",
			func(p *pastRuns, job types.UID) {
				p.reported(job, report.Report{Outcome: report.Failed, Reason: report.ReasonInterrupted, Message: "told to stop"})
			}},
		{"reported, but failed all the same", "DeadlineExceeded", "DeadlineExceeded", "job.activeDeadlineSeconds",
			func(p *pastRuns, job types.UID) { p.reported(job, good()) }},
		{"killed at the second try", "BackoffLimitExceeded", "NoReport", "exit status 137", func(p *pastRuns, job types.UID) {
			p.reported(job, report.Report{Outcome: report.Failed, Reason: report.ReasonLocked, Message: "locked"})
			p.pod(job, corev1.PodFailed, 137, "Error", "")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			past := newPastRuns(t)
			c.pod(past, past.job("run-1", 1, batchv1.JobFailed, c.jobReason))
			status := statusOf(t, rsyncPolicy(), past.seen)
			wantCondition(t, status, "BackupSucceeded", metav1.ConditionFalse, c.reason)
			if !strings.Contains(status.LastRun.Message, c.message) {
				t.Errorf("message %q does not hold %q", status.LastRun.Message, c.message)
			}
		})
	}
}

func TestSyncFailedThoughTheArchiveIsGood(t *testing.T) {
	past := newPastRuns(t)
	past.succeeded("run-1", 1)
	said := good()
	said.Outcome, said.Reason, said.Message = report.Failed, report.ReasonSyncFailed, "the archive is good, but"
	said.Sync = &report.Sync{Message: "no space left on the remote partition"}
	past.reported(past.job("run-2", 2, batchv1.JobFailed, "BackoffLimitExceeded"), said)
	status := statusOf(t, rsyncPolicy(), past.seen)
	wantCondition(t, status, "BackupSucceeded", metav1.ConditionFalse, "SyncFailed")
	wantCondition(t, status, "Synchronized", metav1.ConditionFalse, "SyncFailed")
	if status.LastRun.Archive == "" {
		t.Error("the archive that was made is not told")
	}
}

// TestAFailureBeforeTheSyncSaysNothingOfIt: the mirror is as the last sync left it.
func TestAFailureBeforeTheSyncSaysNothingOfIt(t *testing.T) {
	past := newPastRuns(t)
	past.succeeded("run-1", 1)
	past.reported(past.job("run-2", 2, batchv1.JobFailed, ""),
		report.Report{Outcome: report.Failed, Reason: report.ReasonNotEnoughSpace, Message: "needed 9, free 1"})
	status := statusOf(t, rsyncPolicy(), past.seen)
	wantCondition(t, status, "BackupSucceeded", metav1.ConditionFalse, "NotEnoughSpace")
	wantCondition(t, status, "Synchronized", metav1.ConditionTrue, "Succeeded")
	if *status.Backups.Count != 2 {
		t.Error("what the directory held was forgotten")
	}
}

func TestFailuresInARow(t *testing.T) {
	policy, past := rsyncPolicy(), newPastRuns(t)
	failed := func(name string, minutes int) {
		past.reported(past.job(name, minutes, batchv1.JobFailed, ""), report.Report{Outcome: report.Failed, Message: "no"})
	}
	want := func(n int32) {
		t.Helper()
		// Twice, because what was counted must not be counted again.
		for range 2 {
			if got := *statusOf(t, policy, past.seen).ConsecutiveFailures; got != n {
				t.Errorf("%d failures in a row, want %d", got, n)
			}
		}
	}
	failed("run-1", 1)
	want(1)
	failed("run-3", 2)
	failed("run-4", 2) // Within the same second as the one before.
	want(3)
	past.seen.jobs = past.seen.jobs[1:] // The history limit took the first.
	failed("run-5", 4)
	want(4)
	past.succeeded("run-6", 5)
	want(0)
	failed("run-7", 6)
	want(1)
	if got := policy.Status.LastSuccessTime; !got.Time.Equal(start.Add(5 * time.Minute)) {
		t.Errorf("last success at %s", got)
	}
}

// TestNothingIsForgotten: Jobs and pods go, what they told stays.
func TestNothingIsForgotten(t *testing.T) {
	policy, past := rsyncPolicy(), newPastRuns(t)
	past.succeeded("run-1", 1)
	before := statusOf(t, policy, past.seen).DeepCopy()
	past.seen.pods = map[types.UID][]corev1.Pod{}
	if diff := cmp.Diff(before, statusOf(t, policy, past.seen)); diff != "" {
		t.Errorf("without the pod: %s", diff)
	}
	before.Jobs = nil
	if diff := cmp.Diff(before, statusOf(t, policy, observation{})); diff != "" {
		t.Errorf("without the Job: %s", diff)
	}
	past.reported(past.job("run-2", 2, batchv1.JobFailed, "BackoffLimitExceeded"), report.Report{
		Outcome: report.Failed, Reason: report.ReasonNotEnoughSpace, Message: "needed 9, free 1"})
	before = statusOf(t, policy, past.seen).DeepCopy()
	past.seen.pods = map[types.UID][]corev1.Pod{}
	if diff := cmp.Diff(before, statusOf(t, policy, past.seen)); diff != "" {
		t.Errorf("without the pod of a run that failed: %s", diff)
	}
}

// TestRunsSpeakForTheirOwnSettings: a mirror that the settings name since is none that a run has seen.
func TestRunsSpeakForTheirOwnSettings(t *testing.T) {
	policy, past := rsyncPolicy(), newPastRuns(t)
	past.succeeded("run-1", 1)
	statusOf(t, policy, past.seen)
	policy.Generation++
	status := statusOf(t, policy, past.seen)
	for name, want := range map[string]int64{"Ready": 4, "Synchronized": 3, "BackupSucceeded": 3} {
		if got := meta.FindStatusCondition(status.Conditions, name); got.ObservedGeneration != want {
			t.Errorf("%s speaks of generation %d, want %d", name, got.ObservedGeneration, want)
		}
	}
}

// TestARunIsJudgedOnceItsPodHasEnded: news of Jobs and of pods come by different ways.
func TestARunIsJudgedOnceItsPodHasEnded(t *testing.T) {
	policy, past := rsyncPolicy(), newPastRuns(t)
	job := past.job("run-1", 1, batchv1.JobComplete, "")
	past.seen.pods[job] = []corev1.Pod{{Status: corev1.PodStatus{Phase: corev1.PodRunning}}}
	if status := statusOf(t, policy, past.seen); status.LastRun != nil {
		t.Errorf("judged too early: %+v", status.LastRun)
	}
	past.seen.pods[job] = nil
	past.reported(job, good())
	if status := statusOf(t, policy, past.seen); status.LastRun == nil || status.LastRun.Archive != "a.tar.zst" {
		t.Errorf("not judged by its report: %+v", status.LastRun)
	}
}

func TestReadiness(t *testing.T) {
	ready := func(mend func(*backupv1alpha1.BackupPolicy), missing ...string) *backupv1alpha1.BackupPolicyStatus {
		policy := rsyncPolicy()
		for _, name := range missing {
			policy.Spec.ApplicationBackup.Volumes = append(policy.Spec.ApplicationBackup.Volumes, backupv1alpha1.SourceVolume{
				Name: name, PersistentVolumeClaim: &backupv1alpha1.ClaimReference{ClaimName: name},
			})
		}
		mend(policy)
		return statusOf(t, policy, observation{})
	}
	status := ready(func(p *backupv1alpha1.BackupPolicy) { p.Spec.Suspend = ptr.To(true) })
	wantCondition(t, status, "Ready", metav1.ConditionTrue, "Suspended")
	if status.NextScheduleTime != nil {
		t.Error("a suspended policy has a next run")
	}
	status = ready(func(p *backupv1alpha1.BackupPolicy) { p.Spec.ApplicationBackup = nil }, "data")
	wantCondition(t, status, "Ready", metav1.ConditionTrue, "Disabled")

	status = ready(func(*backupv1alpha1.BackupPolicy) {}, "data", "logs")
	wantCondition(t, status, "Ready", metav1.ConditionFalse, "ClaimNotFound")
	wantCondition(t, status, "Reconciling", metav1.ConditionTrue, "ClaimNotFound")
	if status.NextScheduleTime == nil {
		t.Error("the schedule goes on while a claim is missing")
	}

	status = ready(func(p *backupv1alpha1.BackupPolicy) {
		p.Spec.FileBackupMode = backupv1alpha1.FileBackupModeArchive
		p.Status.Conditions = []metav1.Condition{{Type: "Synchronized"}, {Type: "Stalled"}}
	})
	for _, gone := range []string{"Synchronized", "Stalled", "Reconciling"} {
		if meta.FindStatusCondition(status.Conditions, gone) != nil {
			t.Errorf("%s is still there", gone)
		}
	}
}

func TestSettingsTheCRDCannotCheck(t *testing.T) {
	volume := func(v backupv1alpha1.SourceVolume) func(*backupv1alpha1.BackupPolicySpec) {
		return func(s *backupv1alpha1.BackupPolicySpec) {
			v.Name = "data"
			s.ApplicationBackup.Volumes = []backupv1alpha1.SourceVolume{v}
		}
	}
	hostPath := &corev1.HostPathVolumeSource{Path: "/etc"}
	for _, c := range []struct {
		reason, message string
		set             func(*backupv1alpha1.BackupPolicySpec)
	}{
		{"InvalidSchedule", "99 99", func(s *backupv1alpha1.BackupPolicySpec) { s.Schedule = "99 99 * * *" }},
		{"InvalidTimeZone", "Mars", func(s *backupv1alpha1.BackupPolicySpec) { s.TimeZone = "Mars" }},
		{"InvalidExclude", `"[a"`, volume(backupv1alpha1.SourceVolume{Exclude: []string{"*.tmp", "[a"}})},
		{"HostPathNotAllowed", "volume data", volume(backupv1alpha1.SourceVolume{HostPath: hostPath})},
		{"HostPathNotAllowed", "storage is", func(s *backupv1alpha1.BackupPolicySpec) {
			s.Storage = &backupv1alpha1.Storage{HostPath: hostPath}
		}},
	} {
		policy := rsyncPolicy()
		c.set(&policy.Spec)
		_, fault := checkSettings(policy, Options{})
		if fault == nil || fault.reason != c.reason || !strings.Contains(fault.message, c.message) {
			t.Errorf("want %s with %q, got %+v", c.reason, c.message, fault)
			continue
		}
		current := &cronJobRecord{timing: unique.Make(timing{schedule: "1 2 * * *"})}
		status := nextStatus(policy, stalled(current, fault), observation{}, start)
		wantCondition(t, status, "Ready", metav1.ConditionFalse, c.reason)
		wantCondition(t, status, "Stalled", metav1.ConditionTrue, c.reason)
		if status.Schedule != "1 2 * * *" || status.NextScheduleTime == nil ||
			!strings.Contains(status.Conditions[0].Message, "previous settings") {
			t.Errorf("%+v", status)
		}
	}
	policy := rsyncPolicy()
	volume(backupv1alpha1.SourceVolume{HostPath: hostPath})(&policy.Spec)
	if _, fault := checkSettings(policy, Options{AllowHostPath: true}); fault != nil {
		t.Errorf("allowed, but: %s", fault.message)
	}
}
