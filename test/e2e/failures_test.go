// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// These tests make each failure happen that Kubernetes has for a run, and want the policy to tell it: as a condition with
// the cause and the fix, and as one event.

// TestARunWithoutANode is told while it waits, and when its deadline ends it, with what it waited for.
func TestARunWithoutANode(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", func(s *spec) {
		s.Job = &backupv1alpha1.JobTemplate{
			// Long enough to be told as delayed before it is over, on a slow machine too.
			NodeSelector: map[string]string{"no-node-has": "this"}, ActiveDeadlineSeconds: ptr.To[int64](120),
		}
	})
	job := p.start()
	p.waitDelayed("Unschedulable", job, "didn't match Pod's node affinity/selector", "spec.job")
	wantSame(t, "the active Jobs", []string{job}, p.get().Status.ActiveJobs)
	p.waitEvent("Unschedulable")
	run := p.waitEnded(job)
	if run.Reason != "DeadlineExceeded" || !strings.Contains(run.Message, "job.activeDeadlineSeconds (120)") ||
		!strings.Contains(run.Message, "didn't match Pod's node affinity/selector") {
		t.Errorf("%+v", run)
	}
	p.waitNotDelayed()
	p.wantCondition(t, "BackupSucceeded", "False", "DeadlineExceeded")
	p.waitEvent("DeadlineExceeded")
	wantSame(t, "the active Jobs", nil, p.get().Status.ActiveJobs)
}

// TestAVolumeThatCannotBeMounted is told with the kubelet's words, and the run goes on once it can be.
func TestAVolumeThatCannotBeMounted(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	missing := a.path("missing")
	a.volume("missing", missing, func(pv *corev1.PersistentVolume) {
		pv.Spec.HostPath.Type = ptr.To(corev1.HostPathDirectory)
	})
	p := a.apply("appliance", func(s *spec) { s.Storage.PersistentVolumeClaim = claim("missing") })
	job := p.start()
	p.waitDelayed("VolumeNotMounted", job, missing, "is not a directory")
	p.waitEvent("VolumeNotMounted")
	if err := os.Mkdir(missing, 0o755); err != nil {
		t.Fatal(err)
	}
	if run := p.waitEnded(job); run.Outcome != backupv1alpha1.OutcomeSucceeded {
		t.Errorf("%+v", run)
	}
	p.waitNotDelayed()
}

// TestADeadNFSServer is named, with what mount.nfs said.
func TestADeadNFSServer(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	// Nothing listens on that port of the file server. It is tried once, because two minutes would be no better.
	a.volume("nas", "", func(pv *corev1.PersistentVolume) {
		pv.Spec.HostPath = nil
		pv.Spec.NFS = &corev1.NFSVolumeSource{Server: setting(t, "NFS_SERVER"), Path: "/export/of-old"}
		pv.Spec.MountOptions = []string{"port=9", "retry=0", "soft"}
	})
	p := a.apply("appliance", func(s *spec) {
		onRemoteNode(t, a, s)
		s.RemotePartition = &backupv1alpha1.RemotePartition{Enabled: ptr.To(true), PersistentVolumeClaim: claim("nas")}
	})
	job := p.start()
	p.waitDelayed("VolumeNotMounted", job, setting(t, "NFS_SERVER")+":/export/of-old", "mount.nfs", "Connection refused", "storage answers")
	p.waitEvent("VolumeNotMounted")
}

// TestAnImageThatCannotBePulled is told, and once its name is corrected the run is replaced by one that can start.
func TestAnImageThatCannotBePulled(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", func(s *spec) { dump(t, s, "true").Image = "registry.invalid/team/pg-dump:17" })
	job := p.start()
	p.waitDelayed("ImageNotPulled", job, "registry.invalid/team/pg-dump:17", "container dump", "job.imagePullSecrets")
	p.waitEvent("ImageNotPulled")
	p.save(func(s *spec) { s.Job.InitContainers[0].Image = runnerImage(t) })
	run := p.waitRun(func(run *backupv1alpha1.Run) bool { return strings.HasPrefix(run.Job, "appliance-again-") })
	if run.Outcome != backupv1alpha1.OutcomeSucceeded {
		t.Errorf("%+v", run)
	}
	p.waitEvent("BackupReplaced")
	p.waitNotDelayed()
}

// TestAPodThatIsRefused by a quota and by Pod Security: Kubernetes tells it to nobody but those who look at the Job.
func TestAPodThatIsRefused(t *testing.T) {
	t.Parallel()
	t.Run("quota", func(t *testing.T) {
		t.Parallel()
		a := newAppliance(t)
		quota := a.quota(corev1.ResourcePods)
		p := a.apply("appliance", nil)
		job := p.start()
		p.waitDelayed("PodRefused", job, "exceeded quota: none", "raise the quota")
		p.waitEvent("PodRefused")
		if err := cluster.Delete(t.Context(), quota); err != nil {
			t.Fatal(err)
		}
		if run := p.waitEnded(job); run.Outcome != backupv1alpha1.OutcomeSucceeded {
			t.Errorf("%+v", run)
		}
		p.waitNotDelayed()
	})
	t.Run("Pod Security", func(t *testing.T) {
		t.Parallel()
		a := newAppliance(t)
		kubectl(t, "label", "--overwrite", "namespace", a.namespace, "pod-security.kubernetes.io/enforce=restricted")
		p := a.apply("appliance", nil)
		job := p.start()
		p.waitDelayed("PodRefused", job, `violates PodSecurity "restricted:latest"`, "runAsNonRoot", "job.podSecurityContext")
		p.waitEvent("PodRefused")
	})
}

// quota lets there be no more of a resource, and waits until that is in force.
func (a *appliance) quota(name corev1.ResourceName) *corev1.ResourceQuota {
	a.t.Helper()
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "none", Namespace: a.namespace},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{name: resource.MustParse("0")}},
	}
	if err := cluster.Create(a.t.Context(), quota); err != nil {
		a.t.Fatal(err)
	}
	eventually(a.t, func() error {
		used := kubectl(a.t, "-n", a.namespace, "get", "resourcequota", "none", "-o=jsonpath={.status.used}")
		if used == "" {
			return fmt.Errorf("the quota is not in force")
		}
		return nil
	})
	return quota
}

// TestARunOutOfMemory has a dump killed by the kernel.
func TestARunOutOfMemory(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", func(s *spec) {
		s.Job = &backupv1alpha1.JobTemplate{BackoffLimit: ptr.To[int32](0)}
		// tail keeps what has no line breaks in memory.
		dump(t, s, "exec tail -n 1 /dev/zero").Resources = corev1.ResourceRequirements{
			Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("48Mi")},
		}
	})
	run := p.run()
	if run.Reason != "OOMKilled" || !strings.Contains(run.Message, "init container dump") ||
		!strings.Contains(run.Message, "resources.limits.memory") {
		t.Errorf("%+v", run)
	}
	p.wantCondition(t, "BackupSucceeded", "False", "OOMKilled")
	p.waitEvent("OOMKilled")
}

// TestADumpThatFails uses up the tries without a word of the runner, which never began.
func TestADumpThatFails(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", func(s *spec) {
		s.Job = &backupv1alpha1.JobTemplate{BackoffLimit: ptr.To[int32](1)}
		dump(t, s, "echo no such database >/dev/termination-log; exit 7")
	})
	run := p.run()
	if run.Reason != "BackoffLimitExceeded" || !strings.Contains(run.Message, "dump ended with exit code 7 (no such database)") {
		t.Errorf("%+v", run)
	}
	p.wantCondition(t, "BackupSucceeded", "False", "BackoffLimitExceeded")
	p.waitEvent("BackoffLimitExceeded")
}

// TestARunThatTakesTooLong is ended by Kubernetes while it goes on.
func TestARunThatTakesTooLong(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", func(s *spec) {
		// Long enough for its pod to start.
		s.Job = &backupv1alpha1.JobTemplate{ActiveDeadlineSeconds: ptr.To[int64](90)}
		dump(t, s, "trap 'exit 1' TERM; while :; do sleep 0.1; done")
	})
	run := p.run()
	if run.Reason != "DeadlineExceeded" || !strings.Contains(run.Message, "took longer than job.activeDeadlineSeconds (90)") {
		t.Errorf("%+v", run)
	}
	p.wantCondition(t, "BackupSucceeded", "False", "DeadlineExceeded")
}

// TestARunThatIsEvicted by the API, as kubectl drain does it: the next try makes up for it, and it is told all the same.
func TestARunThatIsEvicted(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", func(s *spec) {
		dump(t, s, "trap 'exit 1' TERM; until test -e /data/go-on; do sleep 0.1; done")
	})
	job := p.start()
	pod := p.pod(job, initRuns)
	if err := cluster.SubResource("eviction").Create(t.Context(), pod, &policyv1.Eviction{}); err != nil {
		t.Fatal(err)
	}
	p.waitEvent("Evicted")
	p.pod(job, func(next *corev1.Pod) bool { return next.UID != pod.UID && initRuns(next) })
	p.waitNotDelayed()
	a.write("", "data", "go-on")
	if run := p.waitEnded(job); run.Outcome != backupv1alpha1.OutcomeSucceeded {
		t.Errorf("%+v", run)
	}
}

// TestARunThatUsesTooMuchDisk is evicted by the kubelet, for which Kubernetes doesn't try it again.
func TestARunThatUsesTooMuchDisk(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", func(s *spec) {
		s.Job = &backupv1alpha1.JobTemplate{BackoffLimit: ptr.To[int32](0)}
		dump(t, s, "trap 'exit 1' TERM; head -c 8000000 /dev/zero >/dump/all.sql; while :; do sleep 0.1; done")
		volumes := s.ApplicationBackup.Volumes
		volumes[len(volumes)-1].EmptyDir.SizeLimit = ptr.To(resource.MustParse("1Mi"))
	})
	run := p.run()
	if run.Reason != "Evicted" || !strings.Contains(run.Message, `"dump" exceeds the limit "1Mi"`) {
		t.Errorf("%+v", run)
	}
	p.wantCondition(t, "BackupSucceeded", "False", "Evicted")
	p.waitEvent("Evicted")
}

// TestAScheduledRunThatDoesNotStart: nothing fails when no Job is made, so there is nothing to look at but the schedule.
func TestAScheduledRunThatDoesNotStart(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	quota := a.quota("count/jobs.batch")
	p := a.apply("appliance", func(s *spec) { s.Schedule, s.TimeZone = "* * * * *", "Etc/UTC" })
	p.waitDelayed("ScheduleMissed", "no run started at", "exceeded quota: none", "describe cronjob appliance-backup")
	if p.get().Status.LastMissedTime == nil {
		t.Error("the time of the run that was missed is not told")
	}
	if err := cluster.Delete(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	p.waitRun(func(run *backupv1alpha1.Run) bool { return run.Outcome == backupv1alpha1.OutcomeSucceeded })
	p.waitNotDelayed()
}

// TestTheMirrorIsFull though the archive is good: both are told, and the mirror catches up.
func TestTheMirrorIsFull(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	full := a.path("full")
	a.volume("full", full, nil)
	inNode(t, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", full)
	a.write(strings.Repeat("x", 4096), "data", "some")
	command(t, "sh", "-c", "head -c 1000000 /dev/urandom >"+a.path("data", "noise"))
	p := a.apply("appliance", func(s *spec) {
		s.RemotePartition.PersistentVolumeClaim = claim("full")
		s.Job = &backupv1alpha1.JobTemplate{BackoffLimit: ptr.To[int32](0)}
	})
	run := p.run()
	if run.Outcome != backupv1alpha1.OutcomeFailed || run.Reason != "SyncFailed" || run.Archive == "" {
		t.Errorf("%+v", run)
	}
	p.wantCondition(t, "BackupSucceeded", "False", "SyncFailed")
	p.wantCondition(t, "Synchronized", "False", "SyncFailed")
	p.waitEvent("SyncFailed")
	status := p.get().Status
	if status.LastSyncTime != nil || status.Backups == nil || status.Backups.TotalBytes == nil || *status.Backups.Count != 1 {
		t.Errorf("%+v", status)
	}
	restore(t, filepath.Join(a.path("backups", "daily"), run.Archive))
	inNode(t, "mount", "-o", "remount,size=16m", full)
	p.mustRun()
	p.wantCondition(t, "Synchronized", "True", "Succeeded")
	if p.get().Status.LastSyncTime == nil {
		t.Error("the time of the synchronization is not told")
	}
	// Another directory is another mirror, which no run has seen.
	p.save(func(s *spec) { s.RsyncDirectory = "/elsewhere" })
	p.wantCondition(t, "Synchronized", "Unknown", "NoRunYet")
}

// TestSettingsThatAreRefused leave those of before in force, and both are told.
func TestSettingsThatAreRefused(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", nil)
	p.mustRun()
	object := p.get()
	object.Spec.Job = &backupv1alpha1.JobTemplate{PriorityClassName: "No Such Name"}
	if err := cluster.Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if ready := meta.FindStatusCondition(p.get().Status.Conditions, "Ready"); ready.Reason != "CronJobRefused" {
			return fmt.Errorf("Ready is %+v", ready)
		}
		return nil
	})
	p.waitEvent("CronJobRefused")
	p.wantCondition(t, "Stalled", "True", "CronJobRefused")
	p.mustRun()
	p.wantCondition(t, "BackupSucceeded", "True", "Succeeded")
	p.wantCondition(t, "Ready", "False", "CronJobRefused")
}
