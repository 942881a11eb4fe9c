// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package holders knows which pods hold which PersistentVolumeClaims at present: which volumes are in use, where, and by
// whom.
//
// Pods of others are many and large, and the operator has to know one thing of a few of them only. So they are in no
// cache of objects: a record of some hundreds of bytes is kept of each that is on a node, hasn't ended and mounts a claim.
package holders

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/controllers/mirror"
)

// Holders knows which pods hold which claims. It is a Runnable of a manager, and works in every replica.
type Holders struct{ pods *mirror.Mirror[record] }

// New makes Holders that look at the pods of these namespaces, of all when there are none.
func New(pods mirror.ListWatch, namespaces ...string) *Holders {
	return &Holders{mirror.New(kind(), pods, namespaces...)}
}

// Pods lists and watches the pods that may hold claims, by a client of the core API.
func Pods(client cache.Getter) mirror.ListWatch { return mirror.NewListWatch(client, "pods", narrow) }

// Fixed makes Holders that know these pods for ever, as if they were all that there is: for tests.
func Fixed(pods iter.Seq[*corev1.Pod]) *Holders { return &Holders{mirror.Fixed(kind(), pods)} }

func kind() mirror.Kind[*corev1.Pod, record] {
	return mirror.Kind[*corev1.Pod, record]{
		Name: "pods that hold claims", Record: recordOf,
		Index: func(r *record) []string { return r.claims },
	}
}

// narrow has the API server leave out the pods that hold nothing now, because they are on no node yet or have ended, and
// the backups' own; a pod's claims are no field that it could select by.
func narrow(options *metav1.ListOptions) {
	options.FieldSelector = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
	options.LabelSelector = "!" + backupv1alpha1.LabelPolicy
}

// Of are the pods that hold a claim, oldest first. The backups' own pods are not among them.
func (h *Holders) Of(namespace, claim string) []Pod {
	var pods []Pod
	for _, r := range h.pods.ByIndex(namespace, claim) {
		pods = append(pods, r.pod())
	}
	slices.SortFunc(pods, func(a, b Pod) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.Name, b.Name))
	})
	return pods
}

// Start keeps the holders up to date until the context ends. It implements manager.Runnable.
func (h *Holders) Start(ctx context.Context) error { return h.pods.Start(ctx) }

// NeedLeaderElection implements manager.LeaderElectionRunnable: a standby replica is to know the holders already.
func (h *Holders) NeedLeaderElection() bool { return h.pods.NeedLeaderElection() }

// CheckSynced returns nil once the holders that there were at first are known, and until then an error that says why they
// are not, as far as that is known.
func (h *Holders) CheckSynced() error { return h.pods.CheckSynced() }

// Source has a controller wait until the holders are known, and then work on the requests that belong to the claims whose
// holders change. There can be one only.
func (h *Holders) Source(
	requests func(ctx context.Context, claim types.NamespacedName) []reconcile.Request,
) source.SyncingSource {
	return h.pods.Source(func(ctx context.Context, change mirror.Change[record], queue mirror.Queue) {
		for _, claim := range concerned(change) {
			for _, request := range requests(ctx, types.NamespacedName{Namespace: change.Key.Namespace, Name: claim}) {
				queue.Add(request)
			}
		}
	})
}

// concerned are the claims whose holders changed, sorted, each once.
func concerned(change mirror.Change[record]) []string {
	var claims []string
	for _, r := range []*record{change.Before, change.Now} {
		if r != nil {
			claims = append(claims, r.claims...)
		}
	}
	slices.Sort(claims)
	return slices.Compact(claims)
}
