// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	batchv1ac "k8s.io/client-go/applyconfigurations/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// applyCronJob applies the CronJob by server-side apply, unless the current one already has every field as wanted and no
// other of ours. What the API server adds by default is not compared, because it isn't ours.
func (r *BackupPolicyReconciler) applyCronJob(ctx context.Context, wanted, current *batchv1.CronJob) error {
	fields, err := appliedFields(wanted)
	if err != nil {
		return fmt.Errorf("CronJob %s: %w", wanted.Name, err)
	}
	if current != nil {
		ours, err := ownedFields(current)
		if err != nil {
			return fmt.Errorf("CronJob %s: %w", wanted.Name, err)
		}
		if equality.Semantic.DeepEqual(ours, withoutEmpty(runtime.DeepCopyJSON(fields))) {
			return nil
		}
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

// ownedFields are the fields of the CronJob in the cluster that are ours, without empty ones.
func ownedFields(cronJob *batchv1.CronJob) (map[string]any, error) {
	extracted, err := batchv1ac.ExtractCronJob(cronJob, string(FieldOwner))
	if err != nil {
		return nil, err
	}
	// By way of JSON both sides have the same types of numbers.
	data, err := json.Marshal(extracted)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(data); err != nil {
		return nil, err
	}
	return withoutEmpty(object.Object), nil
}

// withoutEmpty removes nulls, empty objects and empty lists, which differ between the ways in which a CronJob is
// written and mean nothing. It changes its argument.
func withoutEmpty(object map[string]any) map[string]any {
	for key, value := range object {
		switch v := value.(type) {
		case nil:
			delete(object, key)
		case map[string]any:
			if len(withoutEmpty(v)) == 0 {
				delete(object, key)
			}
		case []any:
			if len(v) == 0 {
				delete(object, key)
			}
			for _, item := range v {
				if m, ok := item.(map[string]any); ok {
					withoutEmpty(m)
				}
			}
		}
	}
	return object
}
