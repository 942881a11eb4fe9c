// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package holders knows which pods hold which PersistentVolumeClaims at present: which volumes are in use, where, and by
// whom.
//
// Pods of others are many and large, and the operator has to know one thing of a few of them only. So they are in no
// cache of objects: a Reflector streams them, and a record of some hundred bytes is kept of each that is on a node,
// hasn't ended and mounts a claim.
package holders

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// pageSize is how many pods are asked for at once where the API server can't stream them.
const pageSize = 250

// Holders knows which pods hold which claims. It is a Runnable of a manager, and works in every replica. The zero value
// knows of no pods.
type Holders struct {
	client typedcorev1.PodsGetter
	// stores are the stores by the namespace that they are for; the one of "" is for all.
	stores map[string]*store
	// changed is called with the claims whose holders changed; nil while nobody wants to know.
	changed atomic.Pointer[func([]types.NamespacedName)]
}

// New makes Holders that look at the pods of these namespaces; of all when there are none.
func New(config *rest.Config, namespaces ...string) (*Holders, error) {
	config = rest.CopyConfig(config)
	// Pods are read several times faster from this than from JSON, and with far less garbage.
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := typedcorev1.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for pods: %w", err)
	}
	return newHolders(client, namespaces), nil
}

func newHolders(client typedcorev1.PodsGetter, namespaces []string) *Holders {
	h := &Holders{client: client, stores: map[string]*store{}}
	if len(namespaces) == 0 {
		namespaces = []string{corev1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		h.stores[namespace] = newStore(h.tell)
	}
	return h
}

// Fixed makes Holders that know these pods for ever, as if they were all that there is: for tests.
func Fixed(pods ...*corev1.Pod) *Holders {
	h := newHolders(nil, nil)
	for _, s := range h.stores {
		for _, pod := range pods {
			if e := entryOf(pod); e != nil {
				s.put(e.key(), e.record)
			}
		}
		close(s.filled)
	}
	return h
}

// Of are the pods that hold a claim, oldest first. The backups' own pods are not among them.
func (h *Holders) Of(namespace, claim string) []Pod {
	s := h.stores[namespace]
	if s == nil {
		s = h.stores[corev1.NamespaceAll]
	}
	if s == nil {
		return nil
	}
	return s.of(types.NamespacedName{Namespace: namespace, Name: claim})
}

// Start keeps the holders up to date until the context ends. It implements manager.Runnable.
func (h *Holders) Start(ctx context.Context) error {
	var running sync.WaitGroup
	for namespace, s := range h.stores {
		running.Go(func() {
			reflector := cache.NewReflectorWithOptions(entries(h.client.Pods(namespace)), &entry{}, s,
				cache.ReflectorOptions{Name: "holders of claims", TypeDescription: "pods that hold claims"})
			reflector.WatchListPageSize = pageSize
			reflector.RunWithContext(ctx)
		})
	}
	running.Wait()
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: a standby replica is to know of the holders already.
func (h *Holders) NeedLeaderElection() bool { return false }

// HasSynced says whether the pods that there were at first are known.
func (h *Holders) HasSynced() bool {
	for _, s := range h.stores {
		if !s.isFilled() {
			return false
		}
	}
	return true
}

// Source has a controller wait until the holders are known, and then work on the requests that belong to the claims whose
// holders change. There can be one only.
func (h *Holders) Source(
	requests func(ctx context.Context, claim types.NamespacedName) []reconcile.Request,
) source.SyncingSource {
	return &changes{holders: h, requests: requests}
}

func (h *Holders) tell(claims []types.NamespacedName) {
	if changed := h.changed.Load(); changed != nil {
		(*changed)(claims)
	}
}

// changes is the source of a controller.
type changes struct {
	holders  *Holders
	requests func(context.Context, types.NamespacedName) []reconcile.Request
}

// Start implements source.Source. What changed before it was called concerns nobody: the controller begins to work when
// the holders are known, and then with everything.
func (c *changes) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	changed := func(claims []types.NamespacedName) {
		for _, claim := range claims {
			for _, request := range c.requests(ctx, claim) {
				queue.Add(request)
			}
		}
	}
	c.holders.changed.Store(&changed)
	return nil
}

// WaitForSync implements source.SyncingSource.
func (c *changes) WaitForSync(ctx context.Context) error {
	for namespace, s := range c.holders.stores {
		select {
		case <-s.filled:
		case <-ctx.Done():
			return fmt.Errorf("wait for the pods of namespace %q: %w", namespace, ctx.Err())
		}
	}
	return nil
}
