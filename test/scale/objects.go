// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// perNamespace is how many policies there are in a namespace.
const perNamespace = 100

// namespaceOf is the namespace of the policy with such a number, and of what belongs to it.
func namespaceOf(i int) string { return fmt.Sprintf("scale-%03d", i/perNamespace) }

func policyName(i int) string { return fmt.Sprintf("appliance-%05d", i) }

// sources are the names of a policy's volumes: two or three.
func sources(i int) []string { return []string{"data", "logs", "config"}[:2+i%2] }

func claimName(i int, volume string) string { return policyName(i) + "-" + volume }

// policy is one as a user writes it. Its schedule has no time in the next five months, so that nothing is due while
// nothing is to happen.
func policy(i int) *backupv1alpha1.BackupPolicy {
	p := &backupv1alpha1.BackupPolicy{ObjectMeta: metav1.ObjectMeta{Name: policyName(i), Namespace: namespaceOf(i)}}
	month := time.Now().UTC().AddDate(0, 6, 0).Month()
	p.Spec.Schedule = fmt.Sprintf("H 5 H %d *", month)
	p.Spec.TimeZone = "America/Sao_Paulo"
	application := &backupv1alpha1.Backup{Enabled: ptr.To(true)}
	for _, name := range sources(i) {
		volume := backupv1alpha1.SourceVolume{Name: name, Exclude: []string{"cache/**", "*.tmp"}}
		volume.PersistentVolumeClaim = &backupv1alpha1.ClaimReference{ClaimName: claimName(i, name)}
		application.Volumes = append(application.Volumes, volume)
	}
	p.Spec.ApplicationBackup = application
	p.Spec.Storage = &backupv1alpha1.Storage{}
	p.Spec.Storage.PersistentVolumeClaim = &backupv1alpha1.ClaimReference{ClaimName: claimName(i, "backups")}
	p.Spec.BackupDirectory = "/daily"
	p.Spec.FilenamePrefix = "appliance"
	p.Spec.TotalBackups = 7
	p.Spec.FileBackupMode = backupv1alpha1.FileBackupModeRSYNC
	p.Spec.RsyncDirectory = "/mirror"
	return p
}

// claims are a policy's: those of its volumes, and that of its backups.
func claims(i int) []*corev1.PersistentVolumeClaim {
	var all []*corev1.PersistentVolumeClaim
	for _, volume := range append(sources(i), "backups") {
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
			Name: claimName(i, volume), Namespace: namespaceOf(i),
			Labels: map[string]string{"app.kubernetes.io/name": "appliance", "app.kubernetes.io/instance": policyName(i)},
			Annotations: map[string]string{
				"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes",
				"volume.kubernetes.io/storage-provisioner": "csi.example.com", "volume.kubernetes.io/selected-node": node(i),
			},
		}}
		claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
		claim.Spec.StorageClassName = ptr.To("fast")
		claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}
		all = append(all, claim)
	}
	return all
}

func node(i int) string { return fmt.Sprintf("node-%03d", i%200) }

// foreignPod is a pod of somebody else, of about 5 KB as JSON. The first ones are the appliances whose claims are backed
// up; of the rest every fourth mounts a claim too.
func foreignPod(i, policies int) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: fmt.Sprintf("workload-%05d", i), Namespace: namespaceOf(i % policies),
		Labels: map[string]string{
			"app.kubernetes.io/name": "workload", "app.kubernetes.io/instance": fmt.Sprintf("workload-%05d", i),
			"app.kubernetes.io/part-of": "somebody-else", "pod-template-hash": "5d4f8c7b9d",
		},
		Annotations: map[string]string{
			"checksum/config": strings.Repeat("0123456789abcdef", 4),
			"example.com/configuration": strings.Repeat(
				"a realistic pod carries what sidecars, meshes and deployment tools have written on it; ", 12),
		},
	}}
	pod.Spec.NodeName = node(i)
	pod.Spec.Containers = []corev1.Container{foreignContainer("main"), foreignContainer("proxy")}
	switch {
	case i < policies:
		mount(pod, "data", claimName(i, "data"))
	case i%4 == 0:
		mount(pod, "data", fmt.Sprintf("workload-%05d", i))
	}
	return pod
}

func foreignContainer(name string) corev1.Container {
	c := corev1.Container{
		Name: name, Image: "registry.example.com/team/" + name + "@sha256:" + strings.Repeat("0123456789abcdef", 4),
		Args: []string{"--listen=:8080", "--log-format=json", "--upstream=http://service.namespace.svc.cluster.local:8080"},
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
		}},
		LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"/healthy"}}}},
	}
	for i := range 12 {
		c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%02d", i), Value: "a value of some realistic length"})
	}
	return c
}

func mount(pod *corev1.Pod, name, claim string) {
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
	}})
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: name, MountPath: "/var/lib/appliance"}}
}

// jobOf is a Job as kube-controller-manager makes it of a CronJob.
func jobOf(cronJob *batchv1.CronJob) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: cronJob.Name + "-29387520", Namespace: cronJob.Namespace, Labels: cronJob.Spec.JobTemplate.Labels,
			Annotations: map[string]string{"batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-11-22T05:00:00Z"},
			OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(cronJob, batchv1.SchemeGroupVersion.WithKind("CronJob")),
			},
		},
		Spec: cronJob.Spec.JobTemplate.Spec,
	}
}

// podOf is a Job's pod as kube-controller-manager makes it.
func podOf(job *batchv1.Job, i int) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: job.Name + "-x7k2p", Namespace: job.Namespace, Labels: job.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))},
		},
		Spec: job.Spec.Template.Spec,
	}
	pod.Spec.NodeName = node(i)
	return pod
}
