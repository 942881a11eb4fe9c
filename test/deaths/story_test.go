// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package deaths

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/controllers"
)

// stage is where a story is played: one policy in a namespace of its own, and the operator that sees to it.
type stage struct {
	t       *testing.T
	client  client.WithWatch
	policy  *backupv1alpha1.BackupPolicy
	process *process
	// old are the mirrors of an operator that hasn't heard of what happened since the last step.
	old *controllers.Mirrors
	// calls are those of all processes.
	calls []call
}

// story is everything that happens to a policy, step by step.
var story = []func(*stage){
	func(s *stage) { s.createClaim("backups"); s.createPolicy() },
	func(s *stage) { s.createClaim("data") },
	func(s *stage) { s.change(func(spec *spec) { spec.RunNow = "A" }) },
	func(s *stage) { s.endRun("A", 1, true) },
	func(s *stage) { s.change(func(spec *spec) { spec.RunNow, spec.TotalBackups = "B", 3 }) },
	func(s *stage) { s.endRun("B", 1, false) },
	func(s *stage) { s.change(func(spec *spec) { spec.RunNow = "A" }) },
	func(s *stage) { s.endRun("A", 2, false) },
	func(s *stage) { s.change(func(spec *spec) { spec.Schedule = "not a schedule" }) },
	func(s *stage) { s.change(func(spec *spec) { spec.Schedule, spec.Suspend = "@daily", ptr.To(true) }) },
}

type spec = backupv1alpha1.BackupPolicySpec

// play plays the story with one fault in it. After each step it has the operator work as it is told to.
func play(t *testing.T, c client.WithWatch, f fault, work func(*stage)) *stage {
	t.Helper()
	s := &stage{t: t, client: c, process: newProcess(c, f), old: controllers.FixedMirrors()}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "deaths-"}}
	s.must(s.client.Create(t.Context(), ns))
	s.policy = &backupv1alpha1.BackupPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "small", Namespace: ns.Name},
		Spec: spec{
			Schedule: "@daily",
			ApplicationBackup: &backupv1alpha1.Backup{Enabled: ptr.To(true), Volumes: []backupv1alpha1.SourceVolume{
				{Name: "data", PersistentVolumeClaim: &backupv1alpha1.ClaimReference{ClaimName: "data"}},
			}},
			Storage: &backupv1alpha1.Storage{
				PersistentVolumeClaim: &backupv1alpha1.ClaimReference{ClaimName: "backups"},
			},
			BackupDirectory: "/", TotalBackups: 7, FileBackupMode: backupv1alpha1.FileBackupModeArchive,
		},
	}
	for _, step := range story {
		step(s)
		work(s)
	}
	s.calls = append(s.calls, s.process.calls...)
	return s
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// settle has the operator work until it has nothing more to do, as the work queue does: again after an error, and after
// it has made or changed an object, which it watches. One that died is followed by another.
func (s *stage) settle() {
	s.t.Helper()
	for range 20 {
		before := s.process.objectsWritten()
		result, err := s.reconcile()
		switch {
		case s.process.dead:
			s.calls = append(s.calls, s.process.calls...)
			s.process = newProcess(s.client, fault{})
		case err == nil && s.process.objectsWritten() == before && (result.RequeueAfter == 0 || result.RequeueAfter > time.Second):
			return
		}
	}
	s.t.Fatal("the operator doesn't come to rest")
}

// objectsWritten is how many objects the process has written that its own watches tell it of.
func (p *process) objectsWritten() int {
	n := 0
	for _, c := range p.calls {
		if c.writes && c.what != "create Event" && c.what != "patch status" {
			n++
		}
	}
	return n
}

// stumble has the operator try again and again, each time with its next call refused, until it has no call left to fail
// at.
func (s *stage) stumble() {
	s.t.Helper()
	for i := 1; ; i++ {
		s.process.fault = fault{len(s.process.calls) + i, fails}
		// What it returns is for the work queue, which tries again whatever it is.
		_, _ = s.reconcile()
		if len(s.process.calls) < s.process.fault.call {
			s.process.fault = fault{}
			return
		}
	}
}

// settleLate has the operator work several times before it hears of what happened since the last step, its own doing
// included, and then settle.
func (s *stage) settleLate() {
	s.t.Helper()
	for range 3 {
		// What it returns is for the work queue, which tries again whatever it is.
		_, _ = s.reconcileWith(s.old)
	}
	s.settle()
	s.old = s.mirrors()
}

func (s *stage) reconcile() (ctrl.Result, error) { return s.reconcileWith(s.mirrors()) }

func (s *stage) reconcileWith(mirrors *controllers.Mirrors) (ctrl.Result, error) {
	s.process.Mirrors = mirrors
	return s.process.Reconcile(s.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(s.policy)})
}

// mirrors are those of an operator that has heard of every CronJob and claim. No pod holds a claim here.
func (s *stage) mirrors() *controllers.Mirrors {
	s.t.Helper()
	var cronJobs batchv1.CronJobList
	s.must(s.client.List(s.t.Context(), &cronJobs, client.InNamespace(s.policy.Namespace)))
	var claims corev1.PersistentVolumeClaimList
	s.must(s.client.List(s.t.Context(), &claims, client.InNamespace(s.policy.Namespace)))
	var objects []client.Object
	for i := range cronJobs.Items {
		objects = append(objects, &cronJobs.Items[i])
	}
	for i := range claims.Items {
		objects = append(objects, &claims.Items[i])
	}
	return controllers.FixedMirrors(objects...)
}

func (s *stage) createPolicy() {
	s.t.Helper()
	s.must(s.client.Create(s.t.Context(), s.policy))
}

func (s *stage) createClaim(name string) {
	s.t.Helper()
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.policy.Namespace}}
	claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	s.must(s.client.Create(s.t.Context(), claim))
}

// change changes the settings.
func (s *stage) change(mutate func(*spec)) {
	s.t.Helper()
	before := s.policy.DeepCopy()
	mutate(&s.policy.Spec)
	s.must(s.client.Patch(s.t.Context(), s.policy, client.MergeFrom(before)))
}

// endRun ends the one run that goes on as the Job controller does: it must be the nth for this value of runNow.
func (s *stage) endRun(value string, nth int, well bool) {
	s.t.Helper()
	jobs := s.jobs()
	var going []batchv1.Job
	same := 0
	for _, job := range jobs {
		if job.Annotations[backupv1alpha1.AnnotationRunNow] == value {
			same++
		}
		if len(job.Status.Conditions) == 0 {
			going = append(going, job)
		}
	}
	if len(going) != 1 || going[0].Annotations[backupv1alpha1.AnnotationRunNow] != value || same != nth {
		s.t.Fatalf("%d runs go on, %d were started for %s: want 1, %d", len(going), same, value, nth)
	}
	job := &going[0]
	// Each run takes a second more than all before it together, so that they end one after the other: the times of Jobs are
	// whole seconds.
	now := metav1.NewTime(job.CreationTimestamp.Add(time.Duration(len(jobs)) * time.Hour))
	job.Status.StartTime = &job.CreationTimestamp
	conditions := []batchv1.JobConditionType{batchv1.JobFailureTarget, batchv1.JobFailed}
	if well {
		job.Status.CompletionTime, job.Status.Succeeded = &now, 1
		conditions = []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobComplete}
	} else {
		job.Status.Failed = 1
	}
	for _, name := range conditions {
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{
			Type: name, Status: corev1.ConditionTrue, LastTransitionTime: now, LastProbeTime: now, Reason: "BackoffLimitExceeded",
		})
	}
	s.must(s.client.Status().Update(s.t.Context(), job))
}

func (s *stage) jobs() []batchv1.Job {
	s.t.Helper()
	var jobs batchv1.JobList
	s.must(s.client.List(s.t.Context(), &jobs, client.InNamespace(s.policy.Namespace)))
	return jobs.Items
}

func (s *stage) cronJobs() []batchv1.CronJob {
	s.t.Helper()
	var cronJobs batchv1.CronJobList
	s.must(s.client.List(s.t.Context(), &cronJobs, client.InNamespace(s.policy.Namespace)))
	return cronJobs.Items
}
