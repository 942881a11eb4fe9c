// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/treetest"
)

// reservedTaint is the key of the taint of the node that hack/e2e.sh sets apart.
const reservedTaint = "reserved"

// reservedNode is the name of the node that only pods are on that tolerate its taint.
func reservedNode(t *testing.T) string {
	t.Helper()
	var nodes corev1.NodeList
	if err := cluster.List(t.Context(), &nodes); err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes.Items {
		if slices.ContainsFunc(node.Spec.Taints, func(taint corev1.Taint) bool { return taint.Key == reservedTaint }) {
			return node.Name
		}
	}
	t.Fatalf("no node has the taint %s: run these tests by make e2e, which makes a cluster with such a node", reservedTaint)
	return ""
}

// use starts a pod of the appliance that mounts claims under their names, and waits until it is running.
func (a *appliance) use(name, node string, mutate func(*corev1.Pod), claims ...string) *corev1.Pod {
	a.t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: a.namespace, Name: name, Labels: map[string]string{"app": name, "pod-template-hash": "1"},
	}}
	pod.Spec.NodeSelector = map[string]string{corev1.LabelHostname: node}
	pod.Spec.Tolerations = []corev1.Toleration{{Key: reservedTaint, Operator: corev1.TolerationOpExists}}
	pod.Spec.TerminationGracePeriodSeconds = ptr.To[int64](0)
	pod.Spec.Containers = []corev1.Container{{
		Name: "appliance", Image: runnerImage(a.t), Command: []string{"sleep", "infinity"},
	}}
	for _, claim := range claims {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
		}})
		mounts := &pod.Spec.Containers[0].VolumeMounts
		*mounts = append(*mounts, corev1.VolumeMount{Name: claim, MountPath: "/" + claim})
	}
	if mutate != nil {
		mutate(pod)
	}
	if err := cluster.Create(a.t.Context(), pod); err != nil {
		a.t.Fatal(err)
	}
	eventually(a.t, func() error {
		if err := cluster.Get(a.t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		if pod.Status.Phase != corev1.PodRunning {
			return fmt.Errorf("pod %s is %s", name, pod.Status.Phase)
		}
		return nil
	})
	return pod
}

// stop deletes a pod of the appliance and waits until it is gone.
func (a *appliance) stop(pod *corev1.Pod) {
	a.t.Helper()
	if err := cluster.Delete(a.t.Context(), pod); err != nil {
		a.t.Fatal(err)
	}
	waitGone(a.t, a.t.Context(), pod)
}

// waitFollows waits until the policy's runs have to be beside a pod of the appliance; beside none if the name is empty.
func (p *policy) waitFollows(name string) {
	p.t.Helper()
	eventually(p.t, func() error {
		var cronJob batchv1.CronJob
		key := client.ObjectKey{Namespace: p.namespace, Name: p.name + "-backup"}
		if err := cluster.Get(p.t.Context(), key, &cronJob); err != nil {
			return err
		}
		follows := ""
		if a := cronJob.Spec.JobTemplate.Spec.Template.Spec.Affinity; a != nil && a.PodAffinity != nil {
			follows = a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector.MatchLabels["app"]
		}
		if follows != name {
			return fmt.Errorf("runs follow %q, want %q", follows, name)
		}
		return nil
	})
}

// nodeOf is the node that a run was on.
func (p *policy) nodeOf(run *backupv1alpha1.Run) string {
	p.t.Helper()
	var pods corev1.PodList
	err := cluster.List(p.t.Context(), &pods,
		client.InNamespace(p.namespace), client.MatchingLabels{batchv1.JobNameLabel: run.Job})
	if err != nil || len(pods.Items) != 1 {
		p.t.Fatalf("the run %s has %d pods: %v", run.Job, len(pods.Items), err)
	}
	return pods.Items[0].Spec.NodeName
}

// TestVolumesInUse has an appliance on a node that pods don't get to by themselves.
func TestVolumesInUse(t *testing.T) {
	t.Parallel()
	reserved := reservedNode(t)
	a := newAppliance(t)
	p := a.apply("appliance", nil)
	elsewhere := p.nodeOf(p.mustRun())
	if elsewhere == reserved {
		t.Fatalf("nobody uses the volumes, and the run was on %s", reserved)
	}

	pod := a.use("appliance", reserved, nil, "data", "logs")
	p.waitFollows("appliance")
	if node := p.nodeOf(p.mustRun()); node != reserved {
		t.Errorf("the run was on %s, the appliance is on %s", node, reserved)
	}

	other := a.use("sessions", elsewhere, nil, "sessions")
	eventually(t, func() error {
		ready := meta.FindStatusCondition(p.get().Status.Conditions, "Ready")
		if ready.Reason != backupv1alpha1.ReasonVolumesOnDifferentNodes {
			return fmt.Errorf("Ready is %+v", ready)
		}
		return nil
	})
	a.stop(pod)
	p.waitInForce()
	p.waitFollows("sessions")
	if node := p.nodeOf(p.mustRun()); node != elsewhere {
		t.Errorf("the run was on %s, the appliance is on %s", node, elsewhere)
	}
	a.stop(other)
	p.waitFollows("")
}

// TestTheAppliancesFilesKeepTheirOwners gives the runs a group of their own. The kubelet gives it to the files of volumes
// that are mounted for writing, and the storage shows that it does so here.
func TestTheAppliancesFilesKeepTheirOwners(t *testing.T) {
	t.Parallel()
	const group = 4242
	a := newAppliance(t)
	node := defaultNode(t)
	for _, name := range []string{"owned", "stored"} {
		treetest.Build(t, a.path(name), treetest.Dir{
			Meta: treetest.Meta{Mode: 0o750, UID: 1000, GID: 1000},
			Entries: treetest.Entries{
				"file": treetest.File{Content: "mine", Meta: treetest.Meta{Mode: 0o640, UID: 1000, GID: 1000}},
			},
		})
		a.volume(name, a.path(name), func(pv *corev1.PersistentVolume) {
			// Of the volumes that are directories, only local ones are given to groups.
			pv.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{
				Local: &corev1.LocalVolumeSource{Path: a.path(name)},
			}
			pv.Spec.NodeAffinity = onNode(node)
		})
	}
	p := a.apply("appliance", func(s *spec) {
		s.ApplicationBackup, s.SessionsBackup = backup("owned"), nil
		s.Storage.PersistentVolumeClaim = claim("stored")
		s.Job = &backupv1alpha1.JobTemplate{PodSecurityContext: &corev1.PodSecurityContext{
			RunAsUser: ptr.To[int64](0), FSGroup: ptr.To[int64](group),
		}}
	})
	p.mustRun()
	if owner := command(t, "stat", "-c", "%g", a.path("stored", "file")); owner != fmt.Sprintln(group) {
		t.Fatalf("the kubelet gave no volume to the group, so this shows nothing: the storage's group is %s", owner)
	}
	for _, path := range []string{a.path("owned"), a.path("owned", "file")} {
		want := map[bool]string{true: "1000 1000 640\n", false: "1000 1000 750\n"}[filepath.Base(path) == "file"]
		if got := command(t, "stat", "-c", "%u %g %a", path); got != want {
			t.Errorf("%s has the owner, group and mode %s, want %s", path, got, want)
		}
	}
}

// defaultNode is a node that any pod can be on.
func defaultNode(t *testing.T) string {
	t.Helper()
	var nodes corev1.NodeList
	if err := cluster.List(t.Context(), &nodes); err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes.Items {
		if len(node.Spec.Taints) == 0 {
			return node.Name
		}
	}
	t.Fatal("every node has a taint")
	return ""
}

func onNode(name string) *corev1.VolumeNodeAffinity {
	return &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
			{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{name}},
		}}},
	}}
}

// TestAnAppliancesNFSVolume backs up what the appliance goes on writing through another mount on the same node.
func TestAnAppliancesNFSVolume(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	served := filepath.Join(setting(t, "NFS_DIRECTORY"), a.namespace)
	for _, name := range []string{"data", "backups"} {
		if err := os.MkdirAll(filepath.Join(served, name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(served, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	a.volume("nfs", "", func(pv *corev1.PersistentVolume) {
		pv.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{NFS: &corev1.NFSVolumeSource{
			Server: setting(t, "NFS_SERVER"), Path: setting(t, "NFS_PATH") + "/" + a.namespace + "/data",
		}}
	})
	pod := a.use("appliance", setting(t, "NODE_NAME"), func(pod *corev1.Pod) {
		pod.Spec.Tolerations = []corev1.Toleration{{Key: "remote", Operator: corev1.TolerationOpExists}}
		pod.Spec.Containers[0].Command = []string{"sh", "-c", "echo first >/nfs/first; while :; do date >>/nfs/log; sleep 1; done"}
	}, "nfs")
	eventually(t, func() error {
		_, err := os.Stat(filepath.Join(served, "data", "first"))
		return err
	})
	p := a.apply("appliance", func(s *spec) {
		s.ApplicationBackup, s.SessionsBackup, s.RemotePartition = backup("nfs"), nil, nil
		s.FileBackupMode = backupv1alpha1.FileBackupModeArchive
		s.Storage = &backupv1alpha1.Storage{NFS: &backupv1alpha1.NFSSource{
			Server: setting(t, "NFS_SERVER"), Path: setting(t, "NFS_PATH") + "/" + a.namespace + "/backups",
		}}
	})
	p.waitFollows("appliance")
	if node := p.nodeOf(p.mustRun()); node != pod.Spec.NodeName {
		t.Errorf("the run was on %s, the appliance is on %s", node, pod.Spec.NodeName)
	}
	restored := restore(t, only(t, filepath.Join(served, "backups", "daily"), "appliance"))
	content, err := os.ReadFile(filepath.Join(restored, "nfs", "first"))
	if err != nil || string(content) != "first\n" {
		t.Errorf("the backup holds %q: %v", content, err)
	}
	written := func() int64 {
		info, err := os.Stat(filepath.Join(served, "data", "log"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := written()
	eventually(t, func() error {
		if written() <= before {
			return errors.New("the appliance can't write any more")
		}
		return nil
	})
	a.stop(pod)
}
