// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// policy is a policy of an appliance.
type policy struct {
	*appliance
	name string
	// runs counts the runs that were started by hand.
	runs int
}

type spec = backupv1alpha1.BackupPolicySpec

// page is the settings page with everything on it, as administrators fill it in. By itself it runs once a year.
func page() spec {
	return spec{
		Schedule:          "0 0 1 1 *",
		ApplicationBackup: backup("data", "logs", "config"),
		SessionsBackup:    backup("sessions"),
		Storage:           &backupv1alpha1.Storage{PersistentVolumeClaim: claim("backups")},
		BackupDirectory:   "/daily",
		FilenamePrefix:    "appliance",
		TotalBackups:      7,
		FileBackupMode:    backupv1alpha1.FileBackupModeRSYNC,
		RsyncDirectory:    "/mirror",
		RemotePartition: &backupv1alpha1.RemotePartition{
			Enabled: ptr.To(true), PersistentVolumeClaim: claim("remote"),
		},
	}
}

func backup(claims ...string) *backupv1alpha1.Backup {
	b := &backupv1alpha1.Backup{Enabled: ptr.To(true)}
	for _, name := range claims {
		b.Volumes = append(b.Volumes, backupv1alpha1.SourceVolume{Name: name, PersistentVolumeClaim: claim(name)})
	}
	return b
}

func claim(name string) *backupv1alpha1.ClaimReference {
	return &backupv1alpha1.ClaimReference{ClaimName: name}
}

// apply makes a policy with the page's settings, changed by mutate, and waits until it is in force.
func (a *appliance) apply(name string, mutate func(*spec)) *policy {
	a.t.Helper()
	p := &policy{appliance: a, name: name}
	p.create(mutate)
	p.waitInForce()
	return p
}

// create makes the policy with the page's settings, changed by mutate.
func (p *policy) create(mutate func(*spec)) {
	p.t.Helper()
	object := &backupv1alpha1.BackupPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: p.name, Namespace: p.namespace}, Spec: page(),
	}
	if mutate != nil {
		mutate(&object.Spec)
	}
	if err := cluster.Create(p.t.Context(), object); err != nil {
		p.t.Fatal(err)
	}
}

// save changes settings and waits until they are in force.
func (p *policy) save(mutate func(*spec)) {
	p.t.Helper()
	object := p.get()
	before := object.DeepCopy()
	mutate(&object.Spec)
	if err := cluster.Patch(p.t.Context(), object, client.MergeFrom(before)); err != nil {
		p.t.Fatal(err)
	}
	p.waitInForce()
}

func (p *policy) get() *backupv1alpha1.BackupPolicy {
	p.t.Helper()
	object := &backupv1alpha1.BackupPolicy{}
	if err := cluster.Get(p.t.Context(), client.ObjectKey{Namespace: p.namespace, Name: p.name}, object); err != nil {
		p.t.Fatal(err)
	}
	return object
}

// waitInForce waits as kubectl wait does: until Ready is True for the present settings.
func (p *policy) waitInForce() {
	p.t.Helper()
	eventually(p.t, func() error {
		object := p.get()
		ready := meta.FindStatusCondition(object.Status.Conditions, "Ready")
		if ready == nil || ready.Status != metav1.ConditionTrue || object.Status.ObservedGeneration != object.Generation {
			return fmt.Errorf("generation %d, observed %d, Ready %+v",
				object.Generation, object.Status.ObservedGeneration, ready)
		}
		return nil
	})
}

// run makes one run now, as an administrator does, and returns how the status tells of it.
func (p *policy) run() *backupv1alpha1.Run {
	p.t.Helper()
	p.runs++
	job := fmt.Sprintf("%s-by-hand-%d", p.name, p.runs)
	kubectl(p.t, "-n", p.namespace, "create", "job", "--from=cronjob/"+p.name+"-backup", job)
	return p.waitRun(func(run *backupv1alpha1.Run) bool { return run.Job == job })
}

// waitRun waits until the status tells of a run.
func (p *policy) waitRun(wanted func(*backupv1alpha1.Run) bool) *backupv1alpha1.Run {
	p.t.Helper()
	var run *backupv1alpha1.Run
	eventually(p.t, func() error {
		if run = p.get().Status.LastRun; run == nil || !wanted(run) {
			return fmt.Errorf("the last run is %+v", run)
		}
		return nil
	})
	return run
}

// mustRun makes one run that has to succeed.
func (p *policy) mustRun() *backupv1alpha1.Run {
	p.t.Helper()
	run := p.run()
	if run.Outcome != backupv1alpha1.OutcomeSucceeded {
		p.t.Fatalf("the run ended %s (%s): %s", run.Outcome, run.Reason, run.Message)
	}
	return run
}

func (p *policy) wantCondition(t *testing.T, name string, status metav1.ConditionStatus, reason string) {
	t.Helper()
	got := meta.FindStatusCondition(p.get().Status.Conditions, name)
	if got == nil || got.Status != status || got.Reason != reason {
		t.Errorf("%s is %+v, want %s (%s)", name, got, status, reason)
	}
}
