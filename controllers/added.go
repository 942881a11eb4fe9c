// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Server-side apply leaves fields alone that somebody else has added to the CronJob, such as a service account,
// whose rights runs would have, or a toleration. A client that sets a field becomes its manager, and defaults of the API
// server have none. So a field of the spec with another manager is one that the policy does not ask for.

// specFields is the member of a set of fields that stands for the spec.
const specFields = "f:spec"

// hasAddedFields reports whether others have set fields of the CronJob's spec that are not among the operator's own.
func hasAddedFields(object *batchv1.CronJob) bool {
	own := specSet(ownSet(object))
	return slices.ContainsFunc(object.ManagedFields, func(entry metav1.ManagedFieldsEntry) bool {
		return isOthers(&entry) && !isWithin(specSet(entry.FieldsV1.GetRawString()), own)
	})
}

func isOthers(entry *metav1.ManagedFieldsEntry) bool {
	return entry.Manager != string(FieldOwner) && entry.Subresource == "" && entry.FieldsV1 != nil
}

// specSet is the part of a set of fields, in the format FieldsV1, that is of the spec.
func specSet(set string) map[string]any {
	var members map[string]any
	if json.Unmarshal([]byte(set), &members) != nil {
		return nil
	}
	spec, _ := members[specFields].(map[string]any)
	return spec
}

// isWithin reports whether all fields of a set are in another one. A member without members is in it as a whole.
func isWithin(set, other map[string]any) bool {
	for name, below := range set {
		if name == "." {
			continue
		}
		otherBelow, found := other[name].(map[string]any)
		children, _ := below.(map[string]any)
		if !found || len(otherBelow) > 0 && !isWithin(children, otherBelow) {
			return false
		}
	}
	return true
}

// removeAddedFields makes the spec of the CronJob with this UID what the policy asks for, and nothing else.
func (r *BackupPolicyReconciler) removeAddedFields(
	ctx context.Context, c client.Client, wanted *batchv1.CronJob, uid types.UID,
) error {
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		var current batchv1.CronJob
		err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(wanted), &current)
		if err != nil || current.UID != uid || !hasAddedFields(&current) {
			return client.IgnoreNotFound(err)
		}
		patch, err := withoutAddedFields(wanted, &current)
		if err != nil {
			return err
		}
		return c.Patch(ctx, &current, client.RawPatch(types.JSONPatchType, patch), FieldOwner)
	})
	if err != nil && !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
		return fmt.Errorf("remove the fields that others have added to CronJob %s: %w", wanted.Name, err)
	}
	return err
}

// withoutAddedFields is the patch that replaces the spec, if the CronJob is still as it was read. Others manage nothing of
// the spec after it, not even what has its default value.
func withoutAddedFields(wanted, current *batchv1.CronJob) ([]byte, error) {
	var managed []metav1.ManagedFieldsEntry
	for _, entry := range current.ManagedFields {
		if isOthers(&entry) {
			var set map[string]any
			if err := json.Unmarshal([]byte(entry.FieldsV1.GetRawString()), &set); err != nil {
				return nil, fmt.Errorf("managedFields: %w", err)
			}
			delete(set, specFields)
			if len(set) == 0 {
				continue
			}
			rest, err := json.Marshal(set)
			if err != nil {
				return nil, err
			}
			entry.FieldsV1 = metav1.NewFieldsV1(string(rest))
		}
		managed = append(managed, entry)
	}
	return json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/resourceVersion", "value": current.ResourceVersion},
		{"op": "replace", "path": "/metadata/managedFields", "value": managed},
		{"op": "replace", "path": "/spec", "value": wanted.Spec},
	})
}
