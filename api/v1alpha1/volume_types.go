// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
)

// Backup is one of the two backups of the settings page.
//
// +kubebuilder:validation:XValidation:rule="!self.enabled || (has(self.volumes) && self.volumes.size() > 0)",message="there is nothing to back up: list at least one volume in volumes, or set enabled to false"
type Backup struct {
	// enabled says whether this backup is made.
	// +required
	Enabled *bool `json:"enabled,omitempty"`

	// volumes are the volumes whose files are backed up. They are mounted read-only.
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=name
	// +optional
	Volumes []SourceVolume `json:"volumes,omitempty"`
}

// CopyMethod says what a run reads of a claim.
//
// +kubebuilder:validation:Enum=Direct;Clone
type CopyMethod string

const (
	// CopyMethodDirect reads the volume itself, beside the appliance.
	CopyMethodDirect CopyMethod = "Direct"
	// CopyMethodClone reads a clone of the volume that is made for the run and deleted after it.
	CopyMethodClone CopyMethod = "Clone"
)

// SourceVolume is a volume whose files are backed up. In the archive they are under its name: data/….
//
// +kubebuilder:validation:ExactlyOneOf=persistentVolumeClaim;configMap;secret;nfs;csi;hostPath;emptyDir
// +kubebuilder:validation:XValidation:rule="!has(self.copyMethod) || self.copyMethod != 'Clone' || has(self.persistentVolumeClaim)",message="only a persistentVolumeClaim can be cloned: set one, or leave copyMethod out"
// +kubebuilder:validation:XValidation:rule="!(self.name in ['storage', 'remote-partition'])",message="the names storage and remote-partition are taken by the policy's own volumes: choose another"
type SourceVolume struct {
	// name is the volume's name in the pod and the first directory of its files in the archive.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be made of lower case letters, digits and '-', and begin and end with a letter or a digit"
	// +required
	Name string `json:"name,omitempty"`

	// exclude are patterns of files that are left out, matched against the path in the volume: * matches within a name,
	// ** across directories, ? one character, [a-z] a range, {a,b} alternatives. A pattern without a slash matches names
	// at any depth. A directory that matches is left out with all that is in it. Example: ["cache/**", "*.tmp"].
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.all(p, !p.startsWith('/'))",message="patterns are matched against paths that begin at the volume's root without a slash: leave the leading '/' out"
	// +listType=atomic
	// +optional
	Exclude []string `json:"exclude,omitempty"`

	// persistentVolumeClaim is a claim in the policy's namespace.
	// +optional
	PersistentVolumeClaim *ClaimReference `json:"persistentVolumeClaim,omitempty"`

	// copyMethod is Direct to read the volume itself while the appliance goes on writing, or Clone to read a clone of
	// the claim that its CSI driver makes for each run and Kubernetes deletes after it: the state of one moment, readable
	// on any node and beside a claim of the access mode ReadWriteOncePod. Clone needs a driver that can clone volumes.
	// Only with persistentVolumeClaim. Default: Direct.
	// +optional
	CopyMethod CopyMethod `json:"copyMethod,omitempty"`

	// configMap is a ConfigMap in the policy's namespace.
	// +optional
	ConfigMap *corev1.ConfigMapVolumeSource `json:"configMap,omitempty"`

	// secret is a Secret in the policy's namespace. The kubelet mounts it; the operator never reads it. Its content is
	// in the archives in the clear.
	// +optional
	Secret *corev1.SecretVolumeSource `json:"secret,omitempty"`

	// nfs is an NFS export.
	// +optional
	NFS *NFSSource `json:"nfs,omitempty"`

	// csi is an inline volume of a CSI driver.
	// +optional
	CSI *corev1.CSIVolumeSource `json:"csi,omitempty"`

	// hostPath is a directory of the node. Only where the operator's administrator allows it with --allow-host-path.
	// +optional
	HostPath *corev1.HostPathVolumeSource `json:"hostPath,omitempty"`

	// emptyDir is a scratch volume that job.initContainers fill before the backup, with the dump of a database for
	// example.
	// +optional
	EmptyDir *corev1.EmptyDirVolumeSource `json:"emptyDir,omitempty"`
}

// Storage is the volume that holds the backups.
//
// +kubebuilder:validation:ExactlyOneOf=persistentVolumeClaim;nfs;csi;hostPath
type Storage struct {
	// persistentVolumeClaim is a claim in the policy's namespace.
	// +optional
	PersistentVolumeClaim *ClaimReference `json:"persistentVolumeClaim,omitempty"`

	// nfs is an NFS export.
	// +optional
	NFS *NFSSource `json:"nfs,omitempty"`

	// csi is an inline volume of a CSI driver.
	// +optional
	CSI *corev1.CSIVolumeSource `json:"csi,omitempty"`

	// hostPath is a directory of the node. Only where the operator's administrator allows it with --allow-host-path.
	// +optional
	HostPath *corev1.HostPathVolumeSource `json:"hostPath,omitempty"`
}

// RemotePartition is an external storage that is mounted for each run.
//
// +kubebuilder:validation:AtMostOneOf=nfs;cifs;csi;persistentVolumeClaim
// +kubebuilder:validation:XValidation:rule="!self.enabled || has(self.nfs) || has(self.cifs) || has(self.csi) || has(self.persistentVolumeClaim)",message="the remote partition is enabled, but nothing says which: set one of nfs, cifs, csi and persistentVolumeClaim, or set enabled to false"
type RemotePartition struct {
	// enabled says whether the remote partition is mounted.
	// +required
	Enabled *bool `json:"enabled,omitempty"`

	// nfs is an NFS export. The nodes need the NFS client (mount.nfs).
	// +optional
	NFS *NFSSource `json:"nfs,omitempty"`

	// cifs is an SMB share. The cluster needs the CSI driver smb.csi.k8s.io with inline volumes.
	// +optional
	CIFS *CIFSSource `json:"cifs,omitempty"`

	// csi is an inline volume of any other CSI driver.
	// +optional
	CSI *corev1.CSIVolumeSource `json:"csi,omitempty"`

	// persistentVolumeClaim is a claim in the policy's namespace, of whatever lies behind it.
	// +optional
	PersistentVolumeClaim *ClaimReference `json:"persistentVolumeClaim,omitempty"`
}

// ClaimReference names a PersistentVolumeClaim in the policy's namespace.
type ClaimReference struct {
	// claimName is the claim's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	ClaimName string `json:"claimName,omitempty"`
}

// NFSSource is an NFS export.
type NFSSource struct {
	// server is the host name or address of the NFS server.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Server string `json:"server,omitempty"`

	// path is the path that the server exports.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/')",message="must be an absolute path, as the server exports it: begin it with '/'"
	// +required
	Path string `json:"path,omitempty"`
}

// CIFSSource is an SMB share, mounted by the CSI driver smb.csi.k8s.io.
type CIFSSource struct {
	// server is the host name or address of the SMB server.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!self.matches('[/\\\\\\\\]')",message="must be the server's name alone: put what comes after the slashes in share"
	// +required
	Server string `json:"server,omitempty"`

	// share is the name of the share, with a directory in it if need be: backups or backups/appliance.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.contains('\\\\')",message="must be the share's name alone, with '/' between directories: backups or backups/appliance"
	// +required
	Share string `json:"share,omitempty"`

	// secretName names the Secret in the policy's namespace that holds username, password and, if need be, domain. The
	// CSI driver reads it on the node; neither the operator nor the runner ever sees it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	SecretName string `json:"secretName,omitempty"`

	// mountOptions are options of mount.cifs(8). Default: dir_mode=0700, file_mode=0600, noperm.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.all(o, !o.contains(','))",message="write each option as an item of its own, without commas"
	// +kubebuilder:validation:XValidation:rule="self.all(o, !o.matches('^(user|username|pass|password|password2|cred|credentials)='))",message="credentials belong into the Secret that secretName names, not into mountOptions"
	// +listType=atomic
	// +optional
	MountOptions []string `json:"mountOptions,omitempty"`
}
