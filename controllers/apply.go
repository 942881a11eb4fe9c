// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// applyCronJob applies the CronJob by server-side apply, unless the current one already has every field as wanted and no
// other of ours. What the API server adds by default is not compared, because it isn't ours. The current one may be the
// cache's, which has no more of these fields than their digest.
func (r *BackupPolicyReconciler) applyCronJob(ctx context.Context, wanted, current *batchv1.CronJob) error {
	fields, err := appliedFields(wanted)
	if err != nil {
		return fmt.Errorf("CronJob %s: %w", wanted.Name, err)
	}
	same, err := hasFields(current, fields)
	if err == nil && !same && isNotAdopted(current) {
		if current, err = r.adoptCronJob(ctx, wanted); err == nil && current != nil {
			same, err = hasFields(current, fields)
		}
	}
	if err != nil {
		return fmt.Errorf("CronJob %s: %w", wanted.Name, err)
	}
	if same {
		return nil
	}
	object := &unstructured.Unstructured{Object: fields}
	return r.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), FieldOwner, client.ForceOwnership)
}

// hasFields says whether the fields of a CronJob that are ours are these.
func hasFields(cronJob *batchv1.CronJob, fields map[string]any) (bool, error) {
	ours, err := ownDigest(cronJob)
	if err != nil {
		return false, err
	}
	wanted, err := digestOf(fields)
	return ours == wanted, err
}

// appliedFields are the fields of a CronJob that server-side apply is to own.
func appliedFields(cronJob *batchv1.CronJob) (map[string]any, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(cronJob)
	if err != nil {
		return nil, err
	}
	delete(fields, "status")
	return fields, nil
}
