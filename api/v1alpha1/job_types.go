// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
)

// JobTemplate is what users need to set on the Jobs and pods of the backups. The names are those of Kubernetes.
type JobTemplate struct {
	// labels are added to the CronJob's Jobs and pods: a Kueue queue name, for example.
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('backup.appliance.io/'))",message="labels under backup.appliance.io/ are the operator's own: choose another"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('batch.kubernetes.io/') && k != 'job-name' && k != 'controller-uid')",message="the labels job-name, controller-uid and those under batch.kubernetes.io/ are set by Kubernetes on each Job: choose another"
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// annotations are added to the CronJob's Jobs and pods.
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('backup.appliance.io/'))",message="annotations under backup.appliance.io/ are the operator's own: choose another"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('batch.kubernetes.io/') && !k.startsWith('cronjob.kubernetes.io/'))",message="annotations under batch.kubernetes.io/ and cronjob.kubernetes.io/ are set by Kubernetes on each Job: choose another"
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// resources are the compute resources of the runner. It compresses on as many cores as its CPU limit allows.
	// Default: requests of 100m CPU and 128Mi memory, no limits.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// podSecurityContext is the security context of the pod. Set runAsUser to the appliance's own to run without root:
	// files that this user can't read are then missing from the backup, and the run says so. Default: root without any
	// capability but DAC_OVERRIDE, which lets it read files of whatever owner; the sources are mounted read-only.
	// +optional
	PodSecurityContext *corev1.PodSecurityContext `json:"podSecurityContext,omitempty"`

	// securityContext is the security context of the runner's container. Default: no privilege escalation, a read-only
	// root file system, the runtime's seccomp profile, and all capabilities dropped but DAC_OVERRIDE when it runs as
	// root.
	// +optional
	SecurityContext *corev1.SecurityContext `json:"securityContext,omitempty"`

	// nodeSelector are labels that a node must have to run the pods.
	// +kubebuilder:validation:MaxProperties=64
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// tolerations let the pods run on tainted nodes.
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// affinity places the pods, as in a pod's spec.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// priorityClassName is the PriorityClass of the pods.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// imagePullSecrets name Secrets in the policy's namespace for pulling the runner's image.
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=name
	// +optional
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// activeDeadlineSeconds is how long a run may take, in seconds, before Kubernetes ends it, waiting for
	// its volumes and for another run in the same directory included. Default: 86400, a day. Maximum: 31536000, a
	// year.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=31536000
	// +optional
	ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds,omitempty"`

	// startingDeadlineSeconds is how late a run may start, in seconds, when its time was missed. Default: 3600.
	// Maximum: 31536000, a year.
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=31536000
	// +optional
	StartingDeadlineSeconds *int64 `json:"startingDeadlineSeconds,omitempty"`

	// backoffLimit is how often a run is tried again after a passing fault. Wrong settings and incomplete backups are
	// never tried again, because that can't help. Default: 2.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	BackoffLimit *int32 `json:"backoffLimit,omitempty"`

	// initContainers run before the backup, as in a pod's spec. They write what should be backed up with the rest into
	// a volume of applicationBackup or sessionsBackup that is an emptyDir: a pg_dump, for example. They may mount any
	// of the policy's volumes by its name.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	InitContainers []corev1.Container `json:"initContainers,omitempty"`
}
