// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

const (
	// indexPolicy finds the Jobs and pods of a policy.
	indexPolicy = "policy"
	// indexClaim finds the policies that may name a claim, by the claim's bucket.
	indexClaim = "claim"
	// claimBuckets is by how many values policies are indexed for their claims in a namespace. Each value takes memory, and
	// one for each claim would be too many; with these, a claim that changes has a small part of its namespace's policies
	// looked through.
	claimBuckets = 64
)

const (
	// workers is how many policies are worked on at a time. Each waits for the API server most of the time.
	workers = 8
	// priorityStatus is that of a policy of which all but the status is done. It is below that of the policies that are
	// there when the operator starts, so that the CronJobs of all of them come first.
	priorityStatus = 2 * handler.LowPriority
	// adoptionPause is how long after a CronJob's adoption its policy is looked at again. The status is written right after
	// the adoption, and should be in the cache by then.
	adoptionPause = 2 * time.Second
)

// SetupWithManager has the manager run Mirrors, and call Reconcile for each policy whose own spec, CronJob, Jobs, pods or
// claims change, or the pods that hold these claims.
func (r *BackupPolicyReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := r.Mirrors.addTo(mgr); err != nil {
		return err
	}
	indexer := mgr.GetFieldIndexer()
	for _, object := range []client.Object{&batchv1.Job{}, &corev1.Pod{}} {
		if err := indexer.IndexField(ctx, object, indexPolicy, policyOf); err != nil {
			return err
		}
	}
	if err := indexer.IndexField(ctx, &backupv1alpha1.BackupPolicy{}, indexClaim, claimsOf); err != nil {
		return err
	}
	r.events, r.unsent, r.started = newEventReader(r.APIReader), &outbox{}, sync.OnceValue(r.Clock.Now)
	toPolicy := handler.EnqueueRequestsFromMapFunc(requestForPolicy)
	b := ctrl.NewControllerManagedBy(mgr).
		Named("backuppolicy").
		For(&backupv1alpha1.BackupPolicy{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Watches(&batchv1.Job{}, toPolicy).
		Watches(&corev1.Pod{}, toPolicy)
	for _, mirrored := range r.Mirrors.sources(r.requestsForClaim) {
		b.WatchesRawSource(mirrored)
	}
	return b.Complete(r)
}

// policyOf is the index of Jobs and pods by the policy that they belong to.
func policyOf(object client.Object) []string {
	if name := object.GetLabels()[backupv1alpha1.LabelPolicy]; name != "" {
		return []string{name}
	}
	return nil
}

// claimsOf is the index of policies by the buckets of the claims that they name.
func claimsOf(object client.Object) []string {
	policy, ok := object.(*backupv1alpha1.BackupPolicy)
	if !ok {
		return nil
	}
	var buckets []string
	for _, name := range claimNames(&policy.Spec) {
		buckets = append(buckets, claimBucket(name))
	}
	slices.Sort(buckets)
	return slices.Compact(buckets)
}

func claimBucket(claim string) string { return strconv.Itoa(hashOf(claim, indexClaim) % claimBuckets) }

func requestForPolicy(_ context.Context, object client.Object) []ctrl.Request {
	name := object.GetLabels()[backupv1alpha1.LabelPolicy]
	if name == "" {
		return nil
	}
	return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}}
}

func (r *BackupPolicyReconciler) requestsForClaim(ctx context.Context, claim types.NamespacedName) []ctrl.Request {
	var policies backupv1alpha1.BackupPolicyList
	// They are only looked at here.
	err := r.List(ctx, &policies, client.InNamespace(claim.Namespace),
		client.MatchingFields{indexClaim: claimBucket(claim.Name)}, client.UnsafeDisableDeepCopy)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not find the policies that name a claim", "claim", claim)
		return nil
	}
	var requests []ctrl.Request
	for i := range policies.Items {
		if policy := &policies.Items[i]; slices.Contains(claimNames(&policy.Spec), claim.Name) {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(policy)})
		}
	}
	return requests
}
