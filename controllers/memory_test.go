// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/controllers/holders"
	"appliance.io/backup-operator/controllers/mirror"
)

// The benchmarks tell how much memory what is kept of many objects takes. Policies are decoded one by one, as those of a
// cluster are.

const benchPolicies = 10_000

func benchMeta(i int, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: fmt.Sprintf("scale-%03d", i/100), Name: fmt.Sprintf("appliance-%05d%s", i, name),
		UID: uuid.NewUUID(), ResourceVersion: fmt.Sprint(1_000_000 + i), CreationTimestamp: metav1.NewTime(start), Generation: 1,
	}
}

func BenchmarkMemoryOfPolicies(b *testing.B) {
	for b.Loop() {
		kept, reduce := make([]*backupv1alpha1.BackupPolicy, benchPolicies), reducePolicy(newSharer())
		reportHeap(b, benchPolicies, "bytes/policy", func() any {
			for i := range kept {
				policy := decoded(b, benchPolicy(b, i))
				if _, err := reduce(policy); err != nil {
					b.Fatal(err)
				}
				kept[i] = policy
			}
			return kept
		})
	}
}

func BenchmarkMemoryOfClaims(b *testing.B) {
	names := []string{"-data", "-logs", "-config", "-backups"}
	for b.Loop() {
		reportHeap(b, 4*benchPolicies, "bytes/claim", func() any {
			return mirror.Fixed(claimKind(), func(yield func(*corev1.PersistentVolumeClaim) bool) {
				for i := range 4 * benchPolicies {
					claim := &corev1.PersistentVolumeClaim{ObjectMeta: benchMeta(i/4, names[i%4])}
					claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
					claim.Spec.StorageClassName = ptr.To("fast")
					claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}
					yield(claim)
				}
			})
		})
	}
}

func BenchmarkMemoryOfCronJobs(b *testing.B) {
	for b.Loop() {
		reportHeap(b, benchPolicies, "bytes/CronJob", func() any {
			return mirror.Fixed(cronJobKind(), func(yield func(*batchv1.CronJob) bool) {
				for i := range benchPolicies {
					object := &batchv1.CronJob{ObjectMeta: benchMeta(i, cronJobSuffix)}
					object.OwnerReferences = []metav1.OwnerReference{{UID: uuid.NewUUID(), Controller: ptr.To(true)}}
					object.Spec.Schedule = fmt.Sprintf("%d 5 %d 6 *", i%60, 1+i%28)
					object.Spec.TimeZone, object.Spec.Suspend = ptr.To("America/Sao_Paulo"), ptr.To(false)
					object.Status.LastScheduleTime = ptr.To(metav1.NewTime(start))
					yield(object)
				}
			})
		})
	}
}

// BenchmarkMemoryOfHolders makes pods that mount a claim each and have the labels of a StatefulSet's pods.
func BenchmarkMemoryOfHolders(b *testing.B) {
	const pods = 5 * benchPolicies
	for b.Loop() {
		reportHeap(b, pods, "bytes/pod", func() any {
			return holders.Fixed(func(yield func(*corev1.Pod) bool) {
				for i := range pods {
					pod := &corev1.Pod{ObjectMeta: benchMeta(i, "-0")}
					pod.Labels = map[string]string{
						"app.kubernetes.io/name": "appliance", "app.kubernetes.io/instance": "orbit",
						"app.kubernetes.io/managed-by": "Helm", "controller-revision-hash": "appliance-5d8f7c9b4",
						"statefulset.kubernetes.io/pod-name": strings.Clone(pod.Name), "apps.kubernetes.io/pod-index": fmt.Sprint(i),
					}
					pod.Spec.NodeName = fmt.Sprintf("node-%d", i%500)
					pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
						PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: pod.Name + "-data"},
					}}}
					yield(pod)
				}
			})
		})
	}
}

// benchPolicy is a policy in force that has not run yet.
func benchPolicy(b *testing.B, i int) *backupv1alpha1.BackupPolicy {
	policy := &backupv1alpha1.BackupPolicy{ObjectMeta: benchMeta(i, "")}
	application := &backupv1alpha1.Backup{Enabled: ptr.To(true)}
	for _, name := range []string{"data", "logs", "config"}[:2+i%2] {
		volume := backupv1alpha1.SourceVolume{Name: name, Exclude: []string{"cache/**", "*.tmp"}}
		volume.PersistentVolumeClaim = &backupv1alpha1.ClaimReference{ClaimName: policy.Name + "-" + name}
		application.Volumes = append(application.Volumes, volume)
	}
	policy.Spec = backupv1alpha1.BackupPolicySpec{
		Schedule: "H 5 H 6 *", TimeZone: "America/Sao_Paulo", ApplicationBackup: application,
		Storage: &backupv1alpha1.Storage{
			PersistentVolumeClaim: &backupv1alpha1.ClaimReference{ClaimName: policy.Name + "-backups"},
		},
		BackupDirectory: "/daily", FilenamePrefix: "appliance", TotalBackups: 7,
		FileBackupMode: backupv1alpha1.FileBackupModeRSYNC, RsyncDirectory: "/mirror",
	}
	schedule, fault := checkSettings(policy, Options{})
	if fault != nil {
		b.Fatal(fault.message)
	}
	seen := observation{grace: time.Minute, claims: map[string]claim{}}
	for _, name := range claimNames(&policy.Spec) {
		seen.claims[name] = claim{}
	}
	policy.Status = *nextStatus(policy, inForce(policy, schedule), seen, start)
	return policy
}

// decoded is the object as it is read from JSON.
func decoded[O any](b *testing.B, object *O) *O {
	data, err := json.Marshal(object)
	if err != nil {
		b.Fatal(err)
	}
	var again O
	if err := json.Unmarshal(data, &again); err != nil {
		b.Fatal(err)
	}
	return &again
}

func reportHeap(b *testing.B, n int, unit string, build func() any) {
	before := heap()
	kept := build()
	b.ReportMetric(float64(heap()-before)/float64(n), unit)
	runtime.KeepAlive(kept)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
