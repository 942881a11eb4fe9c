// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// cloneTTL is for how many seconds a Job with clones is kept after its end: a clone lives as long as its pod, ended or
// not, so they must not stay for days as other Jobs' do. An operator that is away for less than this misses nothing.
const cloneTTL = 3600

// cloneSize is what is asked for while the claim does not exist and its size isn't known. Runs can't start then.
var cloneSize = resource.MustParse("1Gi")

// isCloned says whether runs mount a clone of the volume's claim and not the claim.
func isCloned(volume *backupv1alpha1.SourceVolume) bool {
	return volume.PersistentVolumeClaim != nil && volume.CopyMethod == backupv1alpha1.CopyMethodClone
}

// clones says whether runs of the policy make clones.
func clones(spec *backupv1alpha1.BackupPolicySpec) bool {
	return slices.ContainsFunc(enabledVolumes(spec), func(v backupv1alpha1.SourceVolume) bool { return isCloned(&v) })
}

// cloneVolume is a volume that is made for each run as a clone of the claim and deleted with the run's pod, as
// https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes and
// https://kubernetes.io/docs/concepts/storage/volume-pvc-datasource/ have it: a clone has the storage class and the volume
// mode of its source and is at least as large.
func cloneVolume(name string, source claim, labels map[string]string) *corev1.EphemeralVolumeSource {
	size := source.size
	if size.IsZero() {
		size = cloneSize
	}
	return &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      cloneAccessModes(source.accessModes),
			StorageClassName: source.storageClassName,
			VolumeMode:       source.volumeMode,
			DataSource:       &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: name},
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}},
		},
	}}
}

// cloneAccessModes are the source's. Only that one pod alone may mount it is of no use to a clone.
func cloneAccessModes(source []corev1.PersistentVolumeAccessMode) []corev1.PersistentVolumeAccessMode {
	if len(source) == 0 || slices.Contains(source, corev1.ReadWriteOncePod) {
		return []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	}
	return source
}
