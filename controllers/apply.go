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
// other of ours. What the API server adds by default is not compared, because it isn't ours.
func (r *BackupPolicyReconciler) applyCronJob(ctx context.Context, wanted *batchv1.CronJob, current *cronJobRecord) error {
	if current.awaitsAdoption {
		adopted, err := r.adoptCronJob(ctx, wanted)
		if err != nil {
			return fmt.Errorf("CronJob %s: %w", wanted.Name, err)
		}
		if adopted != nil {
			current = cronJobRecordOf(adopted)
		}
	}
	wantedOwn, err := digestOf(wanted)
	if err != nil {
		return fmt.Errorf("CronJob %s: %w", wanted.Name, err)
	}
	if current.own == wantedOwn {
		return nil
	}
	fields, err := appliedFields(wanted)
	if err != nil {
		return fmt.Errorf("CronJob %s: %w", wanted.Name, err)
	}
	object := &unstructured.Unstructured{Object: fields}
	return r.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), FieldOwner, client.ForceOwnership)
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
