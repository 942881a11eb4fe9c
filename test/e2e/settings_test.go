// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/treetest"
)

// sourcesIn are the first directories in an archive: the volumes that were backed up.
func sourcesIn(t *testing.T, archive string) []string {
	t.Helper()
	var sources []string
	for _, entry := range entriesOf(t, archive) {
		name, _, _ := strings.Cut(entry, "/")
		sources = append(sources, name)
	}
	slices.Sort(sources)
	return slices.Compact(sources)
}

// Enable application backup? Data, logs and configuration files are backed up.
func TestEnableApplicationBackup(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", func(s *spec) {
		s.SessionsBackup = nil
		s.ApplicationBackup.Volumes[0].Exclude = []string{"cache/**", "*.tmp"}
	})
	a.write("half done", "data", "deep", "er", "x.tmp")
	run := p.mustRun()
	archive := only(t, a.path("backups", "daily"), "appliance")
	wantSame(t, "volumes in the archive", []string{"config", "data", "logs"}, sourcesIn(t, archive))
	restored := restore(t, archive)
	for _, volume := range []string{"logs", "config"} {
		treetest.AssertEqual(t, a.path(volume), filepath.Join(restored, volume))
	}
	treetest.AssertEqualBut(t, a.path("data"), filepath.Join(restored, "data"), func(path string) bool {
		return strings.HasPrefix(path, "cache/") || strings.HasSuffix(path, ".tmp")
	})
	info, err := os.Stat(archive)
	if err != nil {
		t.Fatal(err)
	}
	if run.Archive != filepath.Base(archive) || *run.BytesWritten != info.Size() || *run.Files != 3 || *run.BytesRead != 31 {
		t.Errorf("the status tells of %s, %d bytes, %d files, %d bytes read; the archive is %s, %d bytes",
			run.Archive, *run.BytesWritten, *run.Files, *run.BytesRead, filepath.Base(archive), info.Size())
	}

	p.save(func(s *spec) { s.ApplicationBackup.Enabled, s.SessionsBackup = ptr.To(false), backup("sessions") })
	p.mustRun()
	archives := archivesIn(t, a.path("backups", "daily"), "appliance")
	newest := a.path("backups", "daily", archives[len(archives)-1])
	wantSame(t, "volumes in the archive", []string{"sessions"}, sourcesIn(t, newest))
}

// Enable sessions file backup? Session files are included in the backup too.
func TestEnableSessionsFileBackup(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", nil)
	p.mustRun()
	archive := only(t, a.path("backups", "daily"), "appliance")
	wantSame(t, "volumes in the archive", []string{"config", "data", "logs", "sessions"}, sourcesIn(t, archive))
	treetest.AssertEqual(t, a.path("sessions"), filepath.Join(restore(t, archive), "sessions"))

	p.save(func(s *spec) { s.SessionsBackup.Enabled = ptr.To(false) })
	p.mustRun()
	archives := archivesIn(t, a.path("backups", "daily"), "appliance")
	newest := a.path("backups", "daily", archives[len(archives)-1])
	wantSame(t, "volumes in the archive", []string{"config", "data", "logs"}, sourcesIn(t, newest))

	// Neither: nothing is made any more, and the policy says so.
	p.save(func(s *spec) { s.ApplicationBackup.Enabled = ptr.To(false) })
	p.wantCondition(t, "Ready", "True", "Disabled")
	if suspended := kubectl(t, "-n", a.namespace, "get", "cronjob", "-o=jsonpath={.items[0].spec.suspend}"); suspended != "true" {
		t.Errorf("the CronJob's suspend is %s", suspended)
	}
}

// Backup directory: where the backup service stores the files it generates.
func TestBackupDirectory(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", func(s *spec) { s.BackupDirectory = "/some where/deep" })
	p.mustRun()
	only(t, a.path("backups", "some where", "deep"), "appliance")
	wantSame(t, "the volume holds", []string{"some where"}, visible(t, a.path("backups")))

	p.save(func(s *spec) { s.BackupDirectory = "/" })
	p.mustRun()
	only(t, a.path("backups"), "appliance")
}

// Filename prefix: the generated files are named with this prefix.
func TestFilenamePrefix(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", func(s *spec) { s.FilenamePrefix = "orbit_PAM-1.2" })
	p.mustRun()
	archive := filepath.Base(only(t, a.path("backups", "daily"), "orbit_PAM-1.2"))
	wantSame(t, "the directory holds", []string{archive, archive + ".sha256"}, visible(t, a.path("backups", "daily")))

	p.save(func(s *spec) { s.FilenamePrefix = "" })
	p.mustRun()
	only(t, a.path("backups", "daily"), "appliance")
	only(t, a.path("backups", "daily"), "orbit_PAM-1.2")
}

// File backup mode. RSYNC: files are synchronized with rsync.
func TestFileBackupMode(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", func(s *spec) { s.FileBackupMode = backupv1alpha1.FileBackupModeArchive })
	p.mustRun()
	only(t, a.path("backups", "daily"), "appliance")
	wantSame(t, "mode Archive: the remote partition holds", []string{}, visible(t, a.path("remote")))

	p.save(func(s *spec) { s.FileBackupMode = backupv1alpha1.FileBackupModeRSYNC })
	run := p.mustRun()
	treeOf := func(dir string) []string { return append(archivesIn(t, dir, "appliance"), visible(t, dir)...) }
	wantSame(t, "mode RSYNC: the mirror holds",
		treeOf(a.path("backups", "daily")), treeOf(a.path("remote", "mirror")))
	if n := len(archivesIn(t, a.path("remote", "mirror"), "appliance")); n != 2 {
		t.Errorf("the mirror holds %d archives, want also the one from before", n)
	}
	p.wantCondition(t, "Synchronized", "True", "Succeeded")
	if run.BytesSent == nil || *run.BytesSent < *run.BytesWritten {
		t.Errorf("bytes sent %v, bytes written %d", run.BytesSent, *run.BytesWritten)
	}
}

// RSYNC mode directory: to which files are synchronized with rsync. On the remote partition when one is mounted, else in
// the storage.
func TestRSYNCModeDirectory(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", func(s *spec) { s.RsyncDirectory, s.RemotePartition.Enabled = "/copies/of/daily", ptr.To(false) })
	p.mustRun()
	wantSame(t, "without a remote partition",
		archivesIn(t, a.path("backups", "daily"), "appliance"),
		archivesIn(t, a.path("backups", "copies", "of", "daily"), "appliance"))
	wantSame(t, "the remote partition holds", []string{}, visible(t, a.path("remote")))

	p.save(func(s *spec) { s.RemotePartition.Enabled = ptr.To(true) })
	p.mustRun()
	wantSame(t, "with a remote partition",
		archivesIn(t, a.path("backups", "daily"), "appliance"),
		archivesIn(t, a.path("remote", "copies", "of", "daily"), "appliance"))
}

// Total of backups: how many backups are kept.
func TestTotalOfBackups(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", func(s *spec) { s.TotalBackups = 2 })
	a.write("nobody's backup", "backups", "daily", "appliance-notes.tar.zst")
	a.write("another's backup", "backups", "daily", "other-20200101T000000Z.tar.zst")
	var made []string
	for range 4 {
		made = append(made, p.mustRun().Archive)
	}
	for _, dir := range []string{a.path("backups", "daily"), a.path("remote", "mirror")} {
		wantSame(t, dir+" holds", made[2:], archivesIn(t, dir, "appliance"))
	}
	for _, stranger := range []string{"appliance-notes.tar.zst", "other-20200101T000000Z.tar.zst"} {
		if _, err := os.Stat(a.path("backups", "daily", stranger)); err != nil {
			t.Errorf("a stranger's file is gone: %v", err)
		}
	}
	if held := p.get().Status.Backups; *held.Count != 2 || held.Newest[0].Name != made[3] {
		t.Errorf("the status tells of %+v", held)
	}

	p.save(func(s *spec) { s.TotalBackups = 1 })
	last := p.mustRun().Archive
	wantSame(t, "after the total was lowered", []string{last}, archivesIn(t, a.path("backups", "daily"), "appliance"))
}

// Save: the settings are saved and take effect; observedGeneration and Ready say so.
func TestSave(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.apply("appliance", nil)
	p.mustRun()
	before := p.get()
	p.save(func(s *spec) { s.FilenamePrefix, s.TotalBackups, s.BackupDirectory = "renamed", 1, "/weekly" })
	after := p.get()
	if after.Generation <= before.Generation || after.Status.ObservedGeneration != after.Generation {
		t.Errorf("generation %d, then %d, observed %d", before.Generation, after.Generation, after.Status.ObservedGeneration)
	}
	p.wantCondition(t, "Ready", "True", "Scheduled")
	p.mustRun()
	only(t, a.path("backups", "weekly"), "renamed")
	only(t, a.path("backups", "daily"), "appliance")

	// What can't be saved is refused at once, in words.
	object := p.get()
	object.Spec.RsyncDirectory = "mirror"
	if err := cluster.Update(t.Context(), object); err == nil || !strings.Contains(err.Error(), "begin it with '/'") {
		t.Errorf("a relative directory: %v", err)
	}
}
