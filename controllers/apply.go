// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// applyCronJob applies the CronJob by server-side apply, unless the current one already has every field as wanted and no
// other of ours, and removes what others have added to its spec. What the API server adds by default is not compared,
// because it isn't ours.
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
	if current.own == wantedOwn && !current.hasAdded {
		return nil
	}
	change := func(c client.Client) error {
		if current.own != wantedOwn {
			if err := applyAll(ctx, c, wanted, current.uid); err != nil {
				return err
			}
		}
		if current.hasAdded {
			return r.removeAddedFields(ctx, c, wanted, current.uid)
		}
		return nil
	}
	if startsOtherRuns(wanted, current) {
		// A change that is refused must not move the time either: each attempt would, and each brings the next.
		if err := change(client.NewDryRunClient(r.Client)); err != nil {
			return err
		}
		if err := r.forgetPastTimes(ctx, wanted, current.uid); err != nil {
			return asReplaced(wanted, err)
		}
	}
	return change(r.Client)
}

// applyAll applies all fields of the CronJob with this UID.
func applyAll(ctx context.Context, c client.Client, wanted *batchv1.CronJob, uid types.UID) error {
	fields, err := appliedFields(wanted)
	if err != nil {
		return fmt.Errorf("CronJob %s: %w", wanted.Name, err)
	}
	object := &unstructured.Unstructured{Object: fields}
	// By force, and so only to the one that was looked at: another one of its name may be somebody else's.
	object.SetUID(uid)
	err = c.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), FieldOwner, client.ForceOwnership)
	return asReplaced(wanted, err)
}

// asReplaced is the error of a request for a CronJob that is another one by now than the one that was looked at.
func asReplaced(wanted *batchv1.CronJob, err error) error {
	if cause, ok := apierrors.StatusCause(err, metav1.CauseTypeFieldValueInvalid); ok && cause.Field == "metadata.uid" {
		// Nothing is wrong with the settings, which is what an invalid object would tell.
		return fmt.Errorf("CronJob %s has been deleted and made anew by somebody meanwhile", wanted.Name)
	}
	return err
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
