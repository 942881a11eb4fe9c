// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package holders knows which pods mount which PersistentVolumeClaims.
package holders

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Pod is what is kept of a pod that mounts claims.
type Pod struct {
	Namespace, Name string
	// Created is when the pod was made, to the second.
	Created time.Time
	// Node is the name of the node that the pod runs on.
	Node string
	// Labels are the pod's labels.
	Labels map[string]string
	// Tolerations are the pod's tolerations.
	Tolerations []corev1.Toleration
	// SELinuxOptions are those that the pod sets for all of its containers; nil if it sets none.
	SELinuxOptions *corev1.SELinuxOptions
	// Claims are the names of the claims that the pod mounts.
	Claims []string
}
