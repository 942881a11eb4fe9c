// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package availability

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/test/controlplane"
)

// site is a namespace with the claims that policies name.
type site struct {
	t         *testing.T
	client    client.Client
	namespace string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, client: controlplane.NewClient(t)}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "availability-"}}
	s.must(s.client.Create(t.Context(), ns))
	s.namespace = ns.Name
	for _, name := range []string{"data", "backups"} {
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace}}
		claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
		claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
		s.must(s.client.Create(t.Context(), claim))
	}
	return s
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// apply makes a policy that asks for a run.
func (s *site) apply(name string) {
	s.t.Helper()
	s.must(s.client.Create(s.t.Context(), &backupv1alpha1.BackupPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace},
		Spec: backupv1alpha1.BackupPolicySpec{
			Schedule: "@daily", RunNow: "A",
			ApplicationBackup: &backupv1alpha1.Backup{Enabled: ptr.To(true), Volumes: []backupv1alpha1.SourceVolume{
				{Name: "data", PersistentVolumeClaim: &backupv1alpha1.ClaimReference{ClaimName: "data"}},
			}},
			Storage: &backupv1alpha1.Storage{
				PersistentVolumeClaim: &backupv1alpha1.ClaimReference{ClaimName: "backups"},
			},
			BackupDirectory: "/", TotalBackups: 7, FileBackupMode: backupv1alpha1.FileBackupModeArchive,
		},
	}))
}

// eventually waits until what holds, and tells why it didn't when it never does.
func (s *site) eventually(holds func() error) {
	s.t.Helper()
	deadline := time.After(3 * time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			s.t.Fatal(err)
		case <-tick.C:
		}
	}
}

// leader is who holds the Lease; empty when nobody does.
func (s *site) leader() string {
	s.t.Helper()
	var leases coordinationv1.LeaseList
	s.must(s.client.List(s.t.Context(), &leases, client.InNamespace(s.namespace)))
	if len(leases.Items) != 1 {
		return ""
	}
	return ptr.Deref(leases.Items[0].Spec.HolderIdentity, "")
}

func (s *site) waitLeader(other string) string {
	s.t.Helper()
	var leader string
	s.eventually(func() error {
		if leader = s.leader(); leader == "" || leader == other {
			return fmt.Errorf("%q leads", leader)
		}
		return nil
	})
	return leader
}

// waitAnswered waits until these policies are in force and have answered.
func (s *site) waitAnswered(names ...string) {
	s.t.Helper()
	s.eventually(func() error {
		for _, name := range names {
			var policy backupv1alpha1.BackupPolicy
			s.must(s.client.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, &policy))
			if !meta.IsStatusConditionTrue(policy.Status.Conditions, "Ready") || policy.Status.LastRunNow != "A" ||
				policy.Status.ObservedGeneration != policy.Generation {
				return fmt.Errorf("%s: %+v", name, policy.Status)
			}
		}
		return nil
	})
}

// wantAllOnce wants one CronJob, one Job and one event of each kind for each policy.
func (s *site) wantAllOnce(policies ...string) {
	s.t.Helper()
	var want, got []string
	for _, name := range policies {
		want = append(want, name+" BackupStarted", name+" CronJob", name+" Job", name+" Scheduled")
	}
	var cronJobs batchv1.CronJobList
	var jobs batchv1.JobList
	var all eventsv1.EventList
	for _, list := range []client.ObjectList{&cronJobs, &jobs, &all} {
		s.must(s.client.List(s.t.Context(), list, client.InNamespace(s.namespace)))
	}
	for _, c := range cronJobs.Items {
		got = append(got, c.Labels[backupv1alpha1.LabelPolicy]+" CronJob")
	}
	for _, j := range jobs.Items {
		got = append(got, j.Labels[backupv1alpha1.LabelPolicy]+" Job")
	}
	for _, e := range all.Items {
		if e.Regarding.Kind == "BackupPolicy" {
			got = append(got, e.Regarding.Name+" "+e.Reason)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestTheLeaderIsKilled while policies are applied. The other one was warm: it had said before that it knows all.
func TestTheLeaderIsKilled(t *testing.T) {
	t.Parallel()
	s, w := newSite(t), newWire(t)
	first := startReplica(t, w, s.namespace)
	leader := s.waitLeader("")
	s.eventually(first.ready)
	second := startReplica(t, w, s.namespace)
	s.eventually(second.ready)
	if now := s.leader(); now != leader {
		t.Fatalf("%s leads, and %s did when the other one was started", now, leader)
	}
	var names []string
	const before, after = 10, 10
	for i := range before + after {
		if i == before {
			// Some of the policies are in force by now, and of some not even the CronJob is there.
			s.waitAnswered(names[0])
			first.kill()
		}
		names = append(names, fmt.Sprintf("p%02d", i))
		s.apply(names[i])
	}
	s.waitLeader(leader)
	s.waitAnswered(names...)
	s.wantAllOnce(names...)
	s.must(second.ready())
}

// TestTheAPIServerIsAway for longer than a leader may go on without it. The leader ends, for the kubelet to start it anew,
// and the other replica waits.
func TestTheAPIServerIsAway(t *testing.T) {
	t.Parallel()
	s, w := newSite(t), newWire(t)
	replicas := []*replica{startReplica(t, w, s.namespace), startReplica(t, w, s.namespace)}
	for _, r := range replicas {
		s.eventually(r.ready)
	}
	s.waitLeader("")
	s.apply("before")
	s.waitAnswered("before")

	w.cut()
	s.apply("meanwhile")
	var left *replica
	s.eventually(func() error {
		for i, r := range replicas {
			if r.hasEnded() {
				left = replicas[1-i]
				return nil
			}
		}
		return errors.New("both replicas go on")
	})
	s.must(left.ready())
	w.join(t)
	s.waitAnswered("before", "meanwhile")
	s.wantAllOnce("before", "meanwhile")
	if left.hasEnded() {
		t.Error("the replica that waited has ended too")
	}
}

// TestAShortAbsenceOfTheAPIServer ends nobody.
func TestAShortAbsenceOfTheAPIServer(t *testing.T) {
	t.Parallel()
	s, w := newSite(t), newWire(t)
	only := startReplica(t, w, s.namespace)
	s.eventually(only.ready)
	leader := s.waitLeader("")
	w.cut()
	s.apply("meanwhile")
	w.join(t)
	s.waitAnswered("meanwhile")
	s.wantAllOnce("meanwhile")
	if now := s.leader(); now != leader || only.hasEnded() {
		t.Errorf("%q leads, and %q did before", now, leader)
	}
}
