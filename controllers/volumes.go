// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// Names of the policy's own volumes, which the CRD keeps sources from taking, and where volumes are in the pod.
const (
	storageVolume = "storage"
	remoteVolume  = "remote-partition"

	sourcesPath = "/sources"
	storagePath = "/storage"
	remotePath  = "/remote"
)

// smbDriver is the CSI driver for SMB shares and its attributes for inline volumes, from
// https://github.com/kubernetes-csi/csi-driver-smb/blob/master/docs/driver-parameters.md.
const smbDriver = "smb.csi.k8s.io"

// smbMountOptions are for a share that holds nothing but backups: only the mounting user sees the files, and whether
// the runner may write is the server's decision alone.
var smbMountOptions = []string{"dir_mode=0700", "file_mode=0600", "noperm"}

// podVolumes are the volumes of a run's pod and where the runner's container has them.
func podVolumes(
	policy *backupv1alpha1.BackupPolicy, claims map[string]claim,
) ([]corev1.Volume, []corev1.VolumeMount) {
	spec := &policy.Spec
	var volumes []corev1.Volume
	var mounts []corev1.VolumeMount
	add := func(name string, source corev1.VolumeSource, mountPath string, readOnly bool) {
		volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: source})
		mounts = append(mounts, corev1.VolumeMount{Name: name, MountPath: mountPath, ReadOnly: readOnly})
	}
	for _, volume := range enabledVolumes(spec) {
		source := sourceVolume(volume)
		if isCloned(&volume) {
			name := volume.PersistentVolumeClaim.ClaimName
			source = corev1.VolumeSource{Ephemeral: cloneVolume(name, claims[name], labelsFor(policy))}
		}
		add(volume.Name, source, path.Join(sourcesPath, volume.Name), true)
	}
	if spec.Storage != nil {
		add(storageVolume, storageVolumeSource(spec.Storage), storagePath, false)
	}
	if remoteIsMounted(spec) {
		add(remoteVolume, remoteVolumeSource(spec.RemotePartition), remotePath, false)
	}
	return volumes, mounts
}

func sourceVolume(volume backupv1alpha1.SourceVolume) corev1.VolumeSource {
	return corev1.VolumeSource{
		PersistentVolumeClaim: readOnlyClaimVolume(volume.PersistentVolumeClaim),
		ConfigMap:             volume.ConfigMap,
		Secret:                volume.Secret,
		NFS:                   nfsVolume(volume.NFS),
		CSI:                   volume.CSI,
		HostPath:              volume.HostPath,
		EmptyDir:              volume.EmptyDir,
	}
}

func storageVolumeSource(storage *backupv1alpha1.Storage) corev1.VolumeSource {
	return corev1.VolumeSource{
		PersistentVolumeClaim: claimVolume(storage.PersistentVolumeClaim),
		NFS:                   nfsVolume(storage.NFS),
		CSI:                   storage.CSI,
		HostPath:              storage.HostPath,
	}
}

func remoteVolumeSource(remote *backupv1alpha1.RemotePartition) corev1.VolumeSource {
	source := corev1.VolumeSource{
		PersistentVolumeClaim: claimVolume(remote.PersistentVolumeClaim),
		NFS:                   nfsVolume(remote.NFS),
		CSI:                   remote.CSI,
	}
	if remote.CIFS != nil {
		source.CSI = cifsVolume(remote.CIFS)
	}
	return source
}

func claimVolume(claim *backupv1alpha1.ClaimReference) *corev1.PersistentVolumeClaimVolumeSource {
	if claim == nil {
		return nil
	}
	return &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.ClaimName}
}

// readOnlyClaimVolume is a claim whose volume the kubelet leaves as it is: one that it mounts for writing it would relabel
// for SELinux, and give to the pod's fsGroup, file by file. The appliance has it mounted for writing meanwhile.
func readOnlyClaimVolume(claim *backupv1alpha1.ClaimReference) *corev1.PersistentVolumeClaimVolumeSource {
	volume := claimVolume(claim)
	if volume != nil {
		volume.ReadOnly = true
	}
	return volume
}

func nfsVolume(nfs *backupv1alpha1.NFSSource) *corev1.NFSVolumeSource {
	if nfs == nil {
		return nil
	}
	return &corev1.NFSVolumeSource{Server: nfs.Server, Path: nfs.Path}
}

// cifsVolume names the Secret twice: the driver's own way is the attribute, and by the reference the kubelet tells in
// the pod's events when the Secret isn't there.
func cifsVolume(cifs *backupv1alpha1.CIFSSource) *corev1.CSIVolumeSource {
	options := cifs.MountOptions
	if len(options) == 0 {
		options = smbMountOptions
	}
	return &corev1.CSIVolumeSource{
		Driver:   smbDriver,
		ReadOnly: ptr.To(false),
		VolumeAttributes: map[string]string{
			"source":       "//" + cifs.Server + "/" + cifs.Share,
			"secretName":   cifs.SecretName,
			"mountOptions": strings.Join(options, ","),
		},
		NodePublishSecretRef: &corev1.LocalObjectReference{Name: cifs.SecretName},
	}
}
