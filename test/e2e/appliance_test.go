// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"appliance.io/backup-operator/internal/treetest"
)

// appliance is an appliance in a namespace of its own. Its volumes are directories of the node that the test reads and
// writes directly.
type appliance struct {
	t         *testing.T
	namespace string
	// dir holds a directory for each claim.
	dir string
}

// newAppliance makes an appliance with some files in each of its volumes, and volumes for its backups. Pods in its
// namespace are held to the Pod Security Standard "baseline".
func newAppliance(t *testing.T) *appliance {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "e2e-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "baseline"},
	}}
	if err := cluster.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	a := &appliance{t: t, namespace: ns.Name, dir: t.TempDir()}
	t.Cleanup(a.remove)
	for _, name := range []string{"data", "logs", "config", "sessions", "backups", "remote"} {
		a.volume(name, filepath.Join(a.dir, name), nil)
	}
	treetest.Build(t, a.path("data"), treetest.Dir{Entries: treetest.Entries{
		"accounts.db": treetest.File{Content: "alice\nbob\n", Meta: treetest.Meta{Mode: 0o600, UID: 1000, GID: 1000}},
		"cache":       treetest.Dir{Entries: treetest.Entries{"page": treetest.File{Content: "can be made anew"}}},
	}})
	treetest.Build(t, a.path("logs"), treetest.Dir{Entries: treetest.Entries{
		"app.log": treetest.File{Content: "started\n"},
	}})
	treetest.Build(t, a.path("config"), treetest.Dir{Entries: treetest.Entries{
		"app.conf": treetest.File{Content: "listen = 443\n"},
	}})
	treetest.Build(t, a.path("sessions"), treetest.Dir{Entries: treetest.Entries{
		"2026-11-21.rec": treetest.File{Content: "a recording"},
	}})
	return a
}

// path is a path in the directory of a claim.
func (a *appliance) path(elements ...string) string {
	return filepath.Join(append([]string{a.dir}, elements...)...)
}

// volume makes a claim and a PersistentVolume for it that is a directory of a node.
func (a *appliance) volume(name, path string, mutate func(*corev1.PersistentVolume)) {
	a.t.Helper()
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	modes := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	created := corev1.HostPathDirectoryOrCreate
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: a.namespace + "-" + name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: size, AccessModes: modes,
			ClaimRef: &corev1.ObjectReference{Namespace: a.namespace, Name: name},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: path, Type: &created},
			},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
		},
	}
	if mutate == nil {
		if err := os.MkdirAll(path, 0o755); err != nil {
			a.t.Fatal(err)
		}
	} else {
		mutate(pv)
	}
	none := ""
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: a.namespace},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: modes, StorageClassName: &none, VolumeName: pv.Name,
			Resources: corev1.VolumeResourceRequirements{Requests: size},
		},
	}
	for _, object := range []client.Object{pv, claim} {
		if err := cluster.Create(a.t.Context(), object); err != nil {
			a.t.Fatal(err)
		}
	}
}

// write writes a file in the appliance's volumes.
func (a *appliance) write(content string, elements ...string) {
	a.t.Helper()
	path := a.path(elements...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		a.t.Fatal(err)
	}
}

// remove takes the appliance out of the cluster again. After a failure it shows first what the cluster has to say.
func (a *appliance) remove() {
	if a.t.Failed() {
		a.t.Log(a.diagnose())
	}
	ctx := contextWithoutTest()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.namespace}}
	if err := client.IgnoreNotFound(cluster.Delete(ctx, ns)); err != nil {
		a.t.Error(err)
	}
	// The directories go with the test, so their mounts have to be gone before.
	waitGone(a.t, ctx, ns)
	var volumes corev1.PersistentVolumeList
	if err := cluster.List(ctx, &volumes); err != nil {
		a.t.Error(err)
	}
	for i := range volumes.Items {
		if ref := volumes.Items[i].Spec.ClaimRef; ref != nil && ref.Namespace == a.namespace {
			if err := client.IgnoreNotFound(cluster.Delete(ctx, &volumes.Items[i])); err != nil {
				a.t.Error(err)
			}
		}
	}
}
