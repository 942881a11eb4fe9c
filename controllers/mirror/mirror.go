// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package mirror keeps a small record of each object of a kind, up to date with the cluster.
//
// A cache of objects keeps objects, and even one of which nearly everything has been dropped takes hundreds of bytes for
// the fields that it could have. Of kinds that there are many objects of, the operator reads so little that a record of
// some ten bytes will do. A Reflector streams the objects, and they are garbage as soon as their records are made.
package mirror

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// pageSize is how many objects are asked for at once where the API server can't stream them.
const pageSize = 250

// Object is an object of the API, such as a *corev1.Pod.
type Object interface {
	runtime.Object
	metav1.Object
}

// Kind is what is mirrored: which objects, and what is kept of each.
type Kind[O Object, R any] struct {
	// Name is what messages call the objects.
	Name string
	// ListWatch lists and watches the objects of a namespace, of all if that is empty. NewListWatch makes one.
	ListWatch func(namespace string) *cache.ListWatch
	// Record is what is kept of an object, and whether anything is. What it returns is never changed, and should not hold
	// on to the object.
	Record func(object O) (record R, keep bool)
	// Same says whether two records of an object are the same, so that there is nothing to tell.
	Same func(a, b R) bool
	// Index is by which names By finds a record; nil where nobody asks.
	Index func(record R) []string
}

// NewListWatch makes a Kind's ListWatch of a client for the resource's API group. narrow chooses among the objects; nil
// takes all.
func NewListWatch(client cache.Getter, resource string, narrow func(*metav1.ListOptions)) func(string) *cache.ListWatch {
	if narrow == nil {
		narrow = func(*metav1.ListOptions) {}
	}
	return func(namespace string) *cache.ListWatch {
		return cache.NewFilteredListWatchFromClient(client, resource, namespace, narrow)
	}
}

// Change is that an object came, changed or went.
type Change[R any] struct {
	Key types.NamespacedName
	// Before and Now are the object's records before and after; nil where it was, or is, not there.
	Before, Now *R
}

// Queue is a controller's.
type Queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// Mirror knows the records of the objects of a kind. It is a Runnable of a manager, and works in every replica.
type Mirror[R any] struct {
	name string
	// stores are the stores by the namespace that they are for; the one of "" is for all.
	stores map[string]*store[R]
	// reflect keeps the store of a namespace up to date until the context ends.
	reflect func(ctx context.Context, namespace string, s *store[R])
	// changed is called with what changed; nil while nobody wants to know.
	changed atomic.Pointer[func(Change[R])]
}

// New makes a Mirror of the objects in these namespaces; in all when there are none.
func New[O Object, R any](kind Kind[O, R], namespaces ...string) *Mirror[R] {
	m := &Mirror[R]{name: kind.Name, stores: map[string]*store[R]{}}
	if len(namespaces) == 0 {
		namespaces = []string{corev1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		m.stores[namespace] = newStore(kind.Same, kind.Index, m.tell)
	}
	m.reflect = func(ctx context.Context, namespace string, s *store[R]) {
		reflector := cache.NewReflectorWithOptions(entries(kind.ListWatch(namespace), kind.Record), &entry[R]{}, s,
			cache.ReflectorOptions{Name: "mirror of " + kind.Name, TypeDescription: kind.Name})
		reflector.WatchListPageSize = pageSize
		reflector.RunWithContext(ctx)
	}
	return m
}

// Fixed makes a Mirror that knows these objects for ever, as if they were all that there is: for tests.
func Fixed[O Object, R any](kind Kind[O, R], objects iter.Seq[O]) *Mirror[R] {
	m := New(kind)
	s := m.stores[corev1.NamespaceAll]
	for object := range objects {
		if e := entryOf(object, kind.Record); e != nil {
			s.put(e.key, &e.record)
		}
	}
	close(s.filled)
	return m
}

// Get is the record of an object, and whether there is one.
func (m *Mirror[R]) Get(object types.NamespacedName) (R, bool) {
	if s := m.storeOf(object.Namespace); s != nil {
		return s.get(keyOf(object))
	}
	var none R
	return none, false
}

// By are the records in the namespace that the kind's Index gives the name, in no order.
func (m *Mirror[R]) By(name types.NamespacedName) []R {
	if s := m.storeOf(name.Namespace); s != nil {
		return s.by(keyOf(name))
	}
	return nil
}

func (m *Mirror[R]) storeOf(namespace string) *store[R] {
	if s := m.stores[namespace]; s != nil {
		return s
	}
	return m.stores[corev1.NamespaceAll]
}

// Start keeps the records up to date until the context ends. It implements manager.Runnable.
func (m *Mirror[R]) Start(ctx context.Context) error {
	var running sync.WaitGroup
	for namespace, s := range m.stores {
		running.Go(func() { m.reflect(ctx, namespace, s) })
	}
	running.Wait()
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: a standby replica is to know the objects already.
func (m *Mirror[R]) NeedLeaderElection() bool { return false }

// HasSynced says whether the objects that there were at first are known.
func (m *Mirror[R]) HasSynced() bool {
	for _, s := range m.stores {
		if !s.isFilled() {
			return false
		}
	}
	return true
}

// Source has a controller wait until the objects are known, and then handle what changes. There can be one only.
func (m *Mirror[R]) Source(handle func(ctx context.Context, change Change[R], queue Queue)) source.SyncingSource {
	return &changes[R]{mirror: m, handle: handle}
}

func (m *Mirror[R]) tell(all []Change[R]) {
	if changed := m.changed.Load(); changed != nil {
		for _, change := range all {
			(*changed)(change)
		}
	}
}

// changes is the source of a controller.
type changes[R any] struct {
	mirror *Mirror[R]
	handle func(context.Context, Change[R], Queue)
}

// Start implements source.Source. What changed before it was called concerns nobody: the controller begins to work when
// the objects are known, and then with everything.
func (c *changes[R]) Start(ctx context.Context, queue Queue) error {
	changed := func(change Change[R]) { c.handle(ctx, change, queue) }
	c.mirror.changed.Store(&changed)
	return nil
}

// WaitForSync implements source.SyncingSource.
func (c *changes[R]) WaitForSync(ctx context.Context) error {
	for namespace, s := range c.mirror.stores {
		select {
		case <-s.filled:
		case <-ctx.Done():
			return fmt.Errorf("wait for the %s of namespace %q: %w", c.mirror.name, namespace, ctx.Err())
		}
	}
	return nil
}
