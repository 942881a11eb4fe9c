// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// setting is what test/remote/up.sh says of its servers.
func setting(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv("REMOTE_" + name)
	if value == "" {
		t.Fatalf("REMOTE_%s is not set: run these tests by make e2e, which starts an NFS and an SMB server", name)
	}
	return value
}

// onRemoteNode has the policy run on the node whose kernel has NFS and CIFS clients, with volumes that are there: a
// scratch volume with files for a source, and a directory of that node for the storage.
func onRemoteNode(t *testing.T, a *appliance, s *spec) {
	t.Helper()
	node := setting(t, "NODE_NAME")
	a.volume("vm-backups", "/var/tmp/"+a.namespace, func(pv *corev1.PersistentVolume) {
		pv.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
				Key: "kubernetes.io/hostname", Operator: corev1.NodeSelectorOpIn, Values: []string{node},
			}}}},
		}}
	})
	s.ApplicationBackup = &backupv1alpha1.Backup{Enabled: ptr.To(true), Volumes: []backupv1alpha1.SourceVolume{
		{Name: "data", EmptyDir: &corev1.EmptyDirVolumeSource{}},
	}}
	s.SessionsBackup = nil
	s.Storage = &backupv1alpha1.Storage{PersistentVolumeClaim: claim("vm-backups")}
	s.TotalBackups = 1
	s.Job = &backupv1alpha1.JobTemplate{
		NodeSelector: map[string]string{"kubernetes.io/hostname": node},
		Tolerations:  []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		InitContainers: []corev1.Container{{
			Name: "files", Image: runnerImage(t), Command: []string{"sh", "-c", "head -c 300000 /dev/urandom >/data/random"},
			VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
		}},
	}
}

// runnerImage is the image of the product under test.
func runnerImage(t *testing.T) string {
	t.Helper()
	image := os.Getenv("E2E_IMAGE")
	if image == "" {
		t.Fatal("E2E_IMAGE is not set: run these tests by make e2e, which builds the image")
	}
	return image
}

// Mount a remote partition? An external storage is mounted, and files are transferred to it through the file backup
// mode.
func TestMountARemotePartition(t *testing.T) {
	t.Parallel()
	t.Run("persistentVolumeClaim", func(t *testing.T) {
		t.Parallel()
		a := newAppliance(t)
		p := a.apply("appliance", nil)
		p.mustRun()
		wantSame(t, "the remote partition's mirror",
			archivesIn(t, a.path("backups", "daily"), "appliance"), archivesIn(t, a.path("remote", "mirror"), "appliance"))
	})
	t.Run("nfs", func(t *testing.T) {
		t.Parallel()
		testRemote(t, setting(t, "NFS_DIRECTORY"), func(_ *appliance, r *backupv1alpha1.RemotePartition) {
			r.NFS = &backupv1alpha1.NFSSource{Server: setting(t, "NFS_SERVER"), Path: setting(t, "NFS_PATH")}
		})
	})
	t.Run("cifs", func(t *testing.T) {
		t.Parallel()
		testRemote(t, setting(t, "CIFS_DIRECTORY"), func(a *appliance, r *backupv1alpha1.RemotePartition) {
			secret := &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Name: "share", Namespace: a.namespace},
				StringData: map[string]string{
					"username": setting(t, "CIFS_USERNAME"), "password": setting(t, "CIFS_PASSWORD"),
				},
			}
			if err := cluster.Create(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
			r.CIFS = &backupv1alpha1.CIFSSource{
				Server: setting(t, "CIFS_SERVER"), Share: setting(t, "CIFS_SHARE"), SecretName: "share",
			}
		})
	})
	t.Run("no storage", func(t *testing.T) {
		t.Parallel()
		a := newAppliance(t)
		p := a.apply("appliance", func(s *spec) { s.Storage = nil })
		p.mustRun()
		wantSame(t, "the remote partition's mirror",
			archivesIn(t, a.path("remote", "daily"), "appliance"), archivesIn(t, a.path("remote", "mirror"), "appliance"))
		wantSame(t, "the storage holds", []string{}, visible(t, a.path("backups")))
	})
}

// testRemote has files transferred to a server twice, with pruning, and looks into the server's own directory.
func testRemote(t *testing.T, directory string, mount func(*appliance, *backupv1alpha1.RemotePartition)) {
	t.Helper()
	a := newAppliance(t)
	p := a.apply("appliance", func(s *spec) {
		onRemoteNode(t, a, s)
		s.RsyncDirectory = backupv1alpha1.Directory("/" + a.namespace)
		s.RemotePartition = &backupv1alpha1.RemotePartition{Enabled: ptr.To(true)}
		mount(a, s.RemotePartition)
	})
	p.mustRun()
	newest := p.mustRun().Archive
	p.wantCondition(t, "Synchronized", "True", "Succeeded")
	mirror := filepath.Join(directory, a.namespace)
	wantSame(t, "the server's directory holds", []string{newest}, archivesIn(t, mirror, "appliance"))
	info, err := os.Stat(filepath.Join(restore(t, filepath.Join(mirror, newest)), "data", "random"))
	if err != nil || info.Size() != 300000 {
		t.Errorf("restored from the server: %v, %v", info, err)
	}
	if left := partials(t, mirror); len(left) > 0 {
		t.Errorf("half-done files were left: %v", left)
	}
}
