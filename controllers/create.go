// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// A CronJob is created by a plain request, which costs the API server half of what applying one does and can't take over
// what somebody else has made. Server-side apply then takes over the fields that it would have owned, and only these:
// the API server has entered all fields as set by the creation, the ones that it added by default as well.

// annotationCreatedAs is, on a CronJob that was created and not adopted, a digest of what was asked for.
// Something else may be wanted by the time of the adoption: other settings, other pods that hold the claims, or what a
// newer operator makes of them.
const annotationCreatedAs = "backup.appliance.io/created-as"

// createOrGetCronJob creates the CronJob and returns nil, or gets the one that has its name: applying by force takes over
// what is there, so what the mirror doesn't know is asked for.
func (r *BackupPolicyReconciler) createOrGetCronJob(
	ctx context.Context, policy *backupv1alpha1.BackupPolicy, wanted *batchv1.CronJob,
) (*cronJobRecord, error) {
	created, err := r.createCronJob(ctx, wanted)
	if created || err != nil {
		return nil, err
	}
	current, err := r.getCronJob(ctx, policy)
	if err != nil {
		return nil, err
	}
	if current == nil {
		return nil, fmt.Errorf("CronJob %s was there a moment ago and is gone", wanted.Name)
	}
	return cronJobRecordOf(current), nil
}

// createCronJob creates the CronJob, unless there is one of its name.
func (r *BackupPolicyReconciler) createCronJob(ctx context.Context, wanted *batchv1.CronJob) (created bool, err error) {
	text, err := createdAs(wanted)
	if err != nil {
		return false, err
	}
	object := wanted.DeepCopy()
	metav1.SetMetaDataAnnotation(&object.ObjectMeta, annotationCreatedAs, text)
	err = r.Create(ctx, object, FieldOwner)
	if apierrors.IsAlreadyExists(err) {
		return false, nil
	}
	return err == nil, err
}

// createdAs is what annotationCreatedAs says of a CronJob that is created as it is wanted.
func createdAs(wanted *batchv1.CronJob) (string, error) {
	sum := sha256.New()
	err := json.NewEncoder(sum).Encode(wanted)
	return fmt.Sprintf("sha256 %x", sum.Sum(nil)), err
}

// createdEntry is the entry of the fields that the operator has created a CronJob with; nil if it has applied it since.
func createdEntry(managed []metav1.ManagedFieldsEntry) *metav1.ManagedFieldsEntry {
	var created *metav1.ManagedFieldsEntry
	for i := range managed {
		entry := &managed[i]
		if entry.Manager != string(FieldOwner) || entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		if entry.Operation == metav1.ManagedFieldsOperationApply {
			return nil
		}
		created = entry
	}
	return created
}

// adoptCronJob makes the fields of a CronJob that was created belong to server-side apply, as if it had been applied, and
// returns the CronJob as it is then. It leaves alone one that was applied meanwhile, and returns nil for one that is gone.
func (r *BackupPolicyReconciler) adoptCronJob(ctx context.Context, wanted *batchv1.CronJob) (*batchv1.CronJob, error) {
	var current batchv1.CronJob
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(wanted), &current); err != nil {
			return err
		}
		patch, err := adoption(wanted, &current)
		if err != nil || patch == nil {
			return err
		}
		return r.Patch(ctx, &current, client.RawPatch(types.MergePatchType, patch), FieldOwner)
	})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return &current, err
}

// adoption is the patch that turns the entry of the fields that a CronJob was created with into that of server-side apply.
// It is nil for a CronJob that has none, or that belongs to somebody else. Of a CronJob that was created otherwise than it
// is wanted now, all fields become the operator's, so that applying what is wanted removes those that no longer are.
func adoption(wanted, current *batchv1.CronJob) ([]byte, error) {
	managed := slices.Clone(current.ManagedFields)
	created := createdEntry(managed)
	if created == nil || metav1.GetControllerOf(current) == nil ||
		metav1.GetControllerOf(current).UID != metav1.GetControllerOf(wanted).UID {
		return nil, nil
	}
	text, err := createdAs(wanted)
	if err != nil {
		return nil, err
	}
	created.Operation = metav1.ManagedFieldsOperationApply
	if current.Annotations[annotationCreatedAs] == text {
		if created.FieldsV1, err = fieldsWithin(created.FieldsV1, wanted); err != nil {
			return nil, err
		}
	}
	// With the version in it, the patch is refused if anything has changed meanwhile.
	return json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": current.ResourceVersion, "managedFields": managed,
		"annotations": map[string]any{annotationCreatedAs: nil},
	}})
}

// fieldsWithin is what of a set of fields there is in a CronJob as it is applied.
func fieldsWithin(fields *metav1.FieldsV1, cronJob *batchv1.CronJob) (*metav1.FieldsV1, error) {
	value, err := appliedFields(cronJob)
	if err != nil {
		return nil, err
	}
	var set map[string]any
	if err := json.Unmarshal([]byte(fields.GetRawString()), &set); err != nil {
		return nil, fmt.Errorf("managedFields: %w", err)
	}
	within, err := json.Marshal(setWithin(set, value))
	if err != nil {
		return nil, err
	}
	return metav1.NewFieldsV1(string(within)), nil
}

// setWithin is what of a set of fields, in the format FieldsV1, there is in a value. As server-side apply has it, objects
// and lists as such (".") belong to nobody but for the items of lists.
func setWithin(set map[string]any, value any) map[string]any {
	within := map[string]any{}
	for member, below := range set {
		child, exists := memberOf(value, member)
		if !exists {
			continue
		}
		children, _ := below.(map[string]any)
		inChild := setWithin(children, child)
		if self, owned := children["."]; owned && strings.HasPrefix(member, "k:") {
			inChild["."] = self
		}
		within[member] = inChild
	}
	return within
}

// memberOf is the child of a value that a member of a set of fields stands for.
func memberOf(value any, member string) (child any, exists bool) {
	kind, text, _ := strings.Cut(member, ":")
	switch v := value.(type) {
	case map[string]any:
		child, exists = v[text]
		return child, exists && kind == "f" && child != nil
	case []any:
		var key any
		if kind != "k" && kind != "v" || utiljson.Unmarshal([]byte(text), &key) != nil {
			return nil, false
		}
		for _, item := range v {
			if same(item, key) {
				return item, true
			}
		}
	}
	return nil, false
}
