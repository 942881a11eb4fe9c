// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// TestClone backs up a claim that only the appliance's own pod can mount. The test is the driver that makes the clone.
func TestClone(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	a.write("before the clone", "precious", "state")
	a.exclusive("precious")
	a.use("appliance", reservedNode(t), nil, "precious")
	p := &policy{appliance: a, name: "appliance"}
	object := &backupv1alpha1.BackupPolicy{ObjectMeta: metav1.ObjectMeta{Name: p.name, Namespace: a.namespace}, Spec: page()}
	object.Spec.ApplicationBackup, object.Spec.SessionsBackup = backup("precious"), nil
	if err := cluster.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		ready := meta.FindStatusCondition(p.get().Status.Conditions, "Ready")
		if ready == nil || ready.Reason != backupv1alpha1.ReasonClaimReadWriteOncePod {
			return fmt.Errorf("Ready is %+v", ready)
		}
		return nil
	})
	p.save(func(s *spec) { s.ApplicationBackup.Volumes[0].CopyMethod = backupv1alpha1.CopyMethodClone })

	kubectl(t, "-n", a.namespace, "create", "job", "--from=cronjob/appliance-backup", "cloned")
	clone := a.provision("precious")
	run := p.waitRun(func(run *backupv1alpha1.Run) bool { return run.Job == "cloned" })
	if run.Outcome != backupv1alpha1.OutcomeSucceeded {
		t.Fatalf("the run ended %s (%s): %s", run.Outcome, run.Reason, run.Message)
	}
	if node := p.nodeOf(run); node == reservedNode(t) {
		t.Error("a run that reads a clone went after the appliance")
	}
	restored := restore(t, only(t, a.path("backups", "daily"), "appliance"))
	content, err := os.ReadFile(filepath.Join(restored, "precious", "state"))
	if err != nil || string(content) != "before the clone" {
		t.Errorf("the backup holds %q: %v", content, err)
	}
	// The clone goes with the run.
	kubectl(t, "-n", a.namespace, "delete", "job", "cloned")
	waitGone(t, t.Context(), clone)
}

// exclusive makes a claim that one pod at a time can mount, for a directory of that name.
func (a *appliance) exclusive(name string) {
	a.t.Helper()
	modes := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}
	a.create(a.directory(name, a.path(name), name, modes), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: a.namespace},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: modes, StorageClassName: ptr.To(""), VolumeName: a.namespace + "-" + name, Resources: oneGi(),
		},
	})
}

// directory is a PersistentVolume for a claim.
func (a *appliance) directory(
	name, path, claim string, modes []corev1.PersistentVolumeAccessMode,
) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: a.namespace + "-" + name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: oneGi().Requests, AccessModes: modes,
			ClaimRef:                      &corev1.ObjectReference{Namespace: a.namespace, Name: claim},
			PersistentVolumeSource:        corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path}},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
		},
	}
}

func oneGi() corev1.VolumeResourceRequirements {
	return corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}
}

func (a *appliance) create(objects ...client.Object) {
	a.t.Helper()
	for _, object := range objects {
		if err := cluster.Create(a.t.Context(), object); err != nil {
			a.t.Fatal(err)
		}
	}
}

// provision does what a CSI driver does when a clone of the claim is asked for. The appliance goes on writing as soon as
// the clone is made.
func (a *appliance) provision(source string) *corev1.PersistentVolumeClaim {
	a.t.Helper()
	var clone *corev1.PersistentVolumeClaim
	eventually(a.t, func() error {
		var claims corev1.PersistentVolumeClaimList
		if err := cluster.List(a.t.Context(), &claims, client.InNamespace(a.namespace)); err != nil {
			return err
		}
		for i := range claims.Items {
			if from := claims.Items[i].Spec.DataSource; from != nil && from.Kind == "PersistentVolumeClaim" && from.Name == source {
				clone = &claims.Items[i]
				return nil
			}
		}
		return errors.New("nobody asked for a clone")
	})
	if size := clone.Spec.Resources.Requests.Storage(); size.Cmp(resource.MustParse("1Gi")) != 0 {
		a.t.Errorf("the clone is to have %s", size)
	}
	command(a.t, "cp", "-a", a.path(source), a.path("clone"))
	a.write("after the clone", source, "state")
	a.create(a.directory("clone", a.path("clone"), clone.Name, clone.Spec.AccessModes))
	return clone
}
