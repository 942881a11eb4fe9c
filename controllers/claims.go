// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/controllers/holders"
)

// claim is what matters of a PersistentVolumeClaim to the runs that mount it.
type claim struct {
	// accessModes are those of the volume, or those that are asked for while there is no volume yet.
	accessModes []corev1.PersistentVolumeAccessMode
	// size is the larger of what is asked for and what there is: a volume may have been made larger than asked for, and a
	// claim may be waiting to grow.
	size             resource.Quantity
	storageClassName *string
	volumeMode       *corev1.PersistentVolumeMode
	// holders are the pods of others that mount it, oldest first.
	holders []holders.Pod
}

// claims reads the claims that runs of the policy mount.
func (r *BackupPolicyReconciler) claims(
	ctx context.Context, policy *backupv1alpha1.BackupPolicy,
) (map[string]claim, error) {
	claims := make(map[string]claim)
	for _, name := range claimNames(&policy.Spec) {
		var object corev1.PersistentVolumeClaim
		switch err := r.Get(ctx, client.ObjectKey{Namespace: policy.Namespace, Name: name}, &object); {
		case apierrors.IsNotFound(err):
		case err != nil:
			return nil, fmt.Errorf("get PersistentVolumeClaim %s/%s: %w", policy.Namespace, name, err)
		default:
			c := claimOf(&object)
			c.holders = r.Holders.Of(policy.Namespace, name)
			claims[name] = c
		}
	}
	return claims, nil
}

func claimOf(object *corev1.PersistentVolumeClaim) claim {
	c := claim{
		accessModes:      object.Status.AccessModes,
		size:             object.Spec.Resources.Requests[corev1.ResourceStorage],
		storageClassName: object.Spec.StorageClassName,
		volumeMode:       object.Spec.VolumeMode,
	}
	if len(c.accessModes) == 0 {
		c.accessModes = object.Spec.AccessModes
	}
	if capacity := object.Status.Capacity[corev1.ResourceStorage]; capacity.Cmp(c.size) > 0 {
		c.size = capacity
	}
	return c
}

// reduceClaim drops what claimOf doesn't read before a claim goes into the cache.
func reduceClaim(object any) (any, error) {
	full, ok := object.(*corev1.PersistentVolumeClaim)
	if !ok {
		return object, nil
	}
	reduced := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: full.Namespace, Name: full.Name, UID: full.UID, ResourceVersion: full.ResourceVersion,
		},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      full.Spec.AccessModes,
			StorageClassName: full.Spec.StorageClassName,
			VolumeMode:       full.Spec.VolumeMode,
		},
		Status: corev1.PersistentVolumeClaimStatus{AccessModes: full.Status.AccessModes},
	}
	reduced.Spec.Resources.Requests = storageAlone(full.Spec.Resources.Requests)
	reduced.Status.Capacity = storageAlone(full.Status.Capacity)
	return reduced, nil
}

// storageAlone is what resources say of storage. Claims of one size share one: a map takes as much as the rest of a claim.
func storageAlone(resources corev1.ResourceList) corev1.ResourceList {
	size, known := resources[corev1.ResourceStorage]
	if !known {
		return nil
	}
	shared, _ := storageSizes.LoadOrStore(size.String(), corev1.ResourceList{corev1.ResourceStorage: size})
	list, _ := shared.(corev1.ResourceList)
	return list
}

// storageSizes are the lists of resources of each size of claims that there was. Nobody changes one: what is read from the
// cache is a copy.
var storageSizes sync.Map

// claimChanged lets pass what changes for the runs that mount a claim: that it comes, goes, is bound or grows.
func claimChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*corev1.PersistentVolumeClaim)
		now, isClaim := e.ObjectNew.(*corev1.PersistentVolumeClaim)
		return ok && isClaim && !claimOf(before).sameVolume(claimOf(now))
	}}
}

// sameVolume says whether two claims are the same but for their holders.
func (c claim) sameVolume(other claim) bool {
	return slices.Equal(c.accessModes, other.accessModes) && c.size.Cmp(other.size) == 0 &&
		ptr.Equal(c.storageClassName, other.storageClassName) && ptr.Equal(c.volumeMode, other.volumeMode)
}

// missingClaims are the claims that runs of the policy mount and that do not exist, sorted.
func missingClaims(spec *backupv1alpha1.BackupPolicySpec, claims map[string]claim) []string {
	return slices.DeleteFunc(claimNames(spec), func(name string) bool {
		_, exists := claims[name]
		return exists
	})
}

// isOfOneNode says whether only the pods of one node at a time can mount the claim. A claim that has other modes beside
// ReadWriteOnce is mounted by the laxest that allows writing.
func (c claim) isOfOneNode() bool {
	return slices.Contains(c.accessModes, corev1.ReadWriteOnce) && !slices.Contains(c.accessModes, corev1.ReadWriteMany)
}

// isOfOnePod says whether only one pod at a time can mount the claim.
func (c claim) isOfOnePod() bool { return slices.Contains(c.accessModes, corev1.ReadWriteOncePod) }

// claimNames are the claims that runs of the policy mount or clone, sorted, each once.
func claimNames(spec *backupv1alpha1.BackupPolicySpec) []string {
	return namesOfClaims(spec, func(*backupv1alpha1.SourceVolume) bool { return true })
}

// directClaimNames are the claims that runs of the policy mount themselves, sorted, each once.
func directClaimNames(spec *backupv1alpha1.BackupPolicySpec) []string {
	return namesOfClaims(spec, func(volume *backupv1alpha1.SourceVolume) bool { return !isCloned(volume) })
}

// namesOfClaims are the names of the policy's claims, of its sources only those that are chosen.
func namesOfClaims(
	spec *backupv1alpha1.BackupPolicySpec, chosen func(*backupv1alpha1.SourceVolume) bool,
) []string {
	var names []string
	add := func(claim *backupv1alpha1.ClaimReference) {
		if claim != nil {
			names = append(names, claim.ClaimName)
		}
	}
	for _, volume := range enabledVolumes(spec) {
		if chosen(&volume) {
			add(volume.PersistentVolumeClaim)
		}
	}
	if spec.Storage != nil {
		add(spec.Storage.PersistentVolumeClaim)
	}
	if remoteIsMounted(spec) {
		add(spec.RemotePartition.PersistentVolumeClaim)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
