// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/treetest"
)

// TestBackupsGoOnWithoutTheOperator is not parallel to the others, which need the operator. It also is the test of the
// schedule itself: the runs in it are started by nobody but Kubernetes.
func TestBackupsGoOnWithoutTheOperator(t *testing.T) {
	a := newAppliance(t)
	p := a.apply("appliance", nil)
	scaleOperator(t, 0)
	t.Cleanup(func() { scaleOperator(t, 1) })
	// The policy can't be changed to a schedule that comes soon without the operator, so its CronJob is.
	kubectl(t, "-n", a.namespace, "patch", "cronjob", "appliance-backup", "--type=merge", `--patch={"spec":{"schedule":"* * * * *"}}`)
	eventually(t, func() error {
		if n := len(archivesIn(t, a.path("remote", "mirror"), "appliance")); n < 2 {
			return fmt.Errorf("%d backups in the mirror", n)
		}
		return nil
	})
	if last := p.get().Status.LastRun; last != nil {
		t.Fatalf("somebody wrote the status: %+v", last)
	}
	waitJobsEnded(t, a.namespace)
	scaleOperator(t, 1)
	run := p.waitRun(func(run *backupv1alpha1.Run) bool { return run.Archive != "" })
	object := p.get()
	if run.Outcome != "Succeeded" || object.Status.LastSuccessTime == nil || object.Status.LastScheduleTime == nil {
		t.Errorf("the status did not catch up: %+v", object.Status)
	}
	if *object.Status.Backups.Count < 2 {
		t.Errorf("the status tells of %d backups", *object.Status.Backups.Count)
	}
	// What was changed behind the operator's back is mended.
	eventually(t, func() error {
		if got := kubectl(t, "-n", a.namespace, "get", "cronjob", "appliance-backup", "-o=jsonpath={.spec.schedule}"); got != "0 0 1 1 *" {
			return fmt.Errorf("schedule %q", got)
		}
		return nil
	})
}

func waitJobsEnded(t *testing.T, namespace string) {
	t.Helper()
	kubectl(t, "-n", namespace, "patch", "cronjob", "appliance-backup", "--type=merge", `--patch={"spec":{"suspend":true}}`)
	eventually(t, func() error {
		var jobs batchv1.JobList
		if err := cluster.List(t.Context(), &jobs, client.InNamespace(namespace)); err != nil {
			return err
		}
		for _, job := range jobs.Items {
			if job.Status.CompletionTime == nil {
				return fmt.Errorf("job %s has not ended", job.Name)
			}
		}
		return nil
	})
}

// scaleOperator waits until the operator runs, or is gone.
func scaleOperator(t *testing.T, replicas int) {
	t.Helper()
	const selector = "--selector=app.kubernetes.io/name=backup-operator"
	ctx := contextWithoutTest()
	namespace, name := operator(t)
	kubectlIn(ctx, t, "-n", namespace, "scale", "deployment", name, fmt.Sprintf("--replicas=%d", replicas))
	if replicas > 0 {
		kubectlIn(ctx, t, "-n", namespace, "rollout", "status", "deployment", name, "--timeout="+patience.String())
		return
	}
	kubectlIn(ctx, t, "-n", namespace, "wait", "--for=delete", "pod", selector, "--timeout="+patience.String())
}

// TestDeletingThePolicyLeavesTheArchives: the CronJob and its Jobs go, the backups stay.
func TestDeletingThePolicyLeavesTheArchives(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", nil)
	p.mustRun()
	before := visible(t, a.path("backups", "daily"))
	kubectl(t, "-n", a.namespace, "delete", "backuppolicy", "appliance")
	eventually(t, func() error {
		var jobs batchv1.JobList
		var cronJobs batchv1.CronJobList
		var pods corev1.PodList
		for _, list := range []client.ObjectList{&jobs, &cronJobs, &pods} {
			if err := cluster.List(t.Context(), list, client.InNamespace(a.namespace)); err != nil {
				return err
			}
		}
		if n := len(jobs.Items) + len(cronJobs.Items) + len(pods.Items); n > 0 {
			return fmt.Errorf("%d objects of the policy are still there", n)
		}
		return nil
	})
	wantSame(t, "the backup directory", before, visible(t, a.path("backups", "daily")))
	wantSame(t, "the mirror", before, visible(t, a.path("remote", "mirror")))

	// The policy applied anew goes on where it was.
	p = a.apply("appliance", func(s *spec) { s.TotalBackups = 1 })
	newest := p.mustRun().Archive
	if newest == before[0] {
		t.Fatal("a Job under a name that was used before made no backup")
	}
	wantSame(t, "after its return", []string{newest}, archivesIn(t, a.path("backups", "daily"), "appliance"))
}

// TestRestoringWithTarGivesBackTheTree has all kinds of files.
func TestRestoringWithTarGivesBackTheTree(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	at := time.Unix(1700000000, 123456789)
	treetest.Build(t, a.path("data", "kinds"), treetest.Dir{Entries: treetest.Entries{
		"empty": treetest.Dir{Meta: treetest.Meta{Mode: 0o1777}},
		"file": treetest.File{Content: "x", Meta: treetest.Meta{
			Mode: 0o4750, UID: 4711, GID: 4712, ModTime: at, Xattrs: map[string]string{"user.note": "a\x00b"}, ACL: "u:1234:rw",
		}},
		"hole":     treetest.Sparse{Size: 64 << 20, Data: map[int64]string{32 << 20: "in the middle"}},
		"huge":     treetest.Sparse{Size: 9 << 30, Data: map[int64]string{9<<30 - 5: "end.\n"}},
		"hard-a":   treetest.File{Content: "one file"},
		"hard-b":   treetest.HardLink{To: "hard-a"},
		"link":     treetest.Symlink{Target: "nowhere/at all"},
		"fifo":     treetest.FIFO{},
		"\xff\xfe": treetest.File{Content: "a name that is no UTF-8"},
		strings.Repeat("long", 60): treetest.Dir{Entries: treetest.Entries{
			strings.Repeat("name", 60): treetest.File{Content: "deep"},
		}},
	}})
	p := a.apply("appliance", nil)
	run := p.mustRun()
	restored := restore(t, only(t, a.path("backups", "daily"), "appliance"))
	for _, volume := range []string{"data", "logs", "config", "sessions"} {
		treetest.AssertEqual(t, a.path(volume), filepath.Join(restored, volume))
	}
	if *run.BytesWritten > 1<<20 {
		t.Errorf("holes took room: the archive has %d bytes", *run.BytesWritten)
	}
}

// TestADumpIsBackedUpWithTheRest: an init container writes into a scratch volume.
func TestADumpIsBackedUpWithTheRest(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", func(s *spec) {
		s.ApplicationBackup.Volumes = append(s.ApplicationBackup.Volumes,
			backupv1alpha1.SourceVolume{Name: "dump", EmptyDir: &corev1.EmptyDirVolumeSource{}})
		s.Job = &backupv1alpha1.JobTemplate{InitContainers: []corev1.Container{{
			Name: "dump", Image: runnerImage(t), Command: []string{"sh", "-c", "wc -l </data/accounts.db >/dump/count.sql"},
			VolumeMounts: []corev1.VolumeMount{
				{Name: "dump", MountPath: "/dump"}, {Name: "data", MountPath: "/data", ReadOnly: true},
			},
			SecurityContext: &corev1.SecurityContext{RunAsUser: ptr.To[int64](0)},
		}}}
	})
	p.mustRun()
	restored := restore(t, only(t, a.path("backups", "daily"), "appliance"))
	if got := command(t, "cat", filepath.Join(restored, "dump", "count.sql")); got != "2\n" {
		t.Errorf("the dump holds %q", got)
	}
}

// TestAnUnreadableFileMakesTheBackupIncomplete: run as another user than the files' owner.
func TestAnUnreadableFileMakesTheBackupIncomplete(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	command(t, "chmod", "0777", a.path("backups"), a.path("remote"))
	p := a.apply("appliance", func(s *spec) {
		s.TotalBackups = 1
		s.Job = &backupv1alpha1.JobTemplate{
			PodSecurityContext: &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](2000), RunAsGroup: ptr.To[int64](2000)},
		}
	})
	command(t, "chmod", "0644", a.path("data", "accounts.db"))
	complete := p.mustRun().Archive
	command(t, "chmod", "0600", a.path("data", "accounts.db"))
	run := p.run()
	if run.Outcome != backupv1alpha1.OutcomeIncomplete || !strings.Contains(strings.Join(run.WarningMessages, "\n"), "accounts.db") {
		t.Errorf("%+v", run)
	}
	p.wantCondition(t, "BackupSucceeded", "False", "FilesUnreadable")
	if failures := *p.get().Status.ConsecutiveFailures; failures != 1 {
		t.Errorf("%d failures in a row", failures)
	}
	wantSame(t, "the complete backup stays beside the incomplete one",
		[]string{complete, run.Archive}, archivesIn(t, a.path("backups", "daily"), "appliance"))
	if pods := kubectl(t, "-n", a.namespace, "get", "pods", "-o=name"); strings.Count(pods, "\n") != 2 {
		t.Errorf("another try can't help, yet there was one:\n%s", pods)
	}
}

// TestTwoPoliciesOneDirectory: the second is refused with the first one's name.
func TestTwoPoliciesOneDirectory(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	first := a.apply("first", nil)
	made := first.mustRun().Archive
	second := a.apply("second", func(s *spec) { s.TotalBackups = 1 })
	run := second.run()
	if run.Outcome != backupv1alpha1.OutcomeFailed || run.Reason != "DirectoryOwned" ||
		!strings.Contains(run.Message, a.namespace+"/first") {
		t.Errorf("%+v", run)
	}
	wantSame(t, "the first one's backups", []string{made}, archivesIn(t, a.path("backups", "daily"), "appliance"))

	second.save(func(s *spec) { s.FilenamePrefix = "second" })
	second.mustRun()
	only(t, a.path("backups", "daily"), "appliance")
	only(t, a.path("backups", "daily"), "second")
}

// TestAMissingClaimIsTold and mended without anybody touching the policy.
func TestAMissingClaimIsTold(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", nil)
	object := p.get()
	object.Spec.ApplicationBackup.Volumes[0].PersistentVolumeClaim.ClaimName = "more-data"
	if err := cluster.Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if table := kubectl(t, "-n", a.namespace, "describe", "bp", "appliance"); !strings.Contains(table, "no PersistentVolumeClaim more-data") {
			return errors.New(table)
		}
		return nil
	})
	a.volume("more-data", a.path("more-data"), nil)
	p.waitInForce()
	p.mustRun()
}

// TestProtectedAtAGlance is what kubectl get answers.
func TestProtectedAtAGlance(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", nil)
	p.mustRun()
	lines := strings.Split(kubectl(t, "-n", a.namespace, "get", "bp"), "\n")
	for _, column := range []string{"STATUS", "READY", "SCHEDULE", "LAST RUN", "LAST SUCCESS", "BACKUPS", "SYNCHRONIZED", "FAILURES"} {
		if !strings.Contains(lines[0], column) {
			t.Errorf("no column %s in %s", column, lines[0])
		}
	}
	if fields := strings.Fields(lines[1]); fields[1] != "Protected" || fields[2] != "True" || !strings.Contains(lines[1], "Succeeded") {
		t.Error(lines[1])
	}
	if explained := kubectl(t, "explain", "bp.spec.totalBackups"); !strings.Contains(explained, "how many backups are kept") {
		t.Error(explained)
	}
}
