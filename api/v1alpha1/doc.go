// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the resource BackupPolicy: an appliance's backup settings page as Kubernetes sees it.
//
// Each field is one line of that page, or says where the volumes of it are. What the API server can check by itself is
// checked there, by OpenAPI and CEL, so that a mistake is told at kubectl apply; what it can't see becomes a condition.
//
// +kubebuilder:object:generate=true
// +groupName=backup.appliance.io
package v1alpha1
