// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package mirror keeps a small record of each object of a kind, up to date with the cluster.
//
// A cache of objects keeps objects, and even one of which nearly everything has been dropped takes hundreds of bytes for
// the fields that it could have. Of kinds that there are many objects of, the operator reads so little that a record of
// some tens of bytes will do. A Reflector streams the objects, and they are garbage as soon as their records are made.
package mirror

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// pageSize is how many objects are asked for at once where the API server can't stream them.
const pageSize = 250

// Kind says what is mirrored of objects.
type Kind[O client.Object, R any] struct {
	// Name is what messages call the objects.
	Name string
	// Record is what is kept of an object; nil if nothing is. What it returns is never changed, and should not hold on to
	// the object.
	Record func(object O) *R
	// Index gives the values under which ByIndex finds a record; nil where nobody asks.
	Index func(record *R) []string
}

// ListWatch lists and watches the objects of a namespace; of all namespaces if that is empty.
type ListWatch func(namespace string) *cache.ListWatch

// NewListWatch makes a ListWatch of a client for the resource's API group. narrow chooses among the objects; nil takes
// all.
func NewListWatch(client cache.Getter, resource string, narrow func(*metav1.ListOptions)) ListWatch {
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

// Queue is a controller's queue.
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
func New[O client.Object, R any](kind Kind[O, R], objects ListWatch, namespaces ...string) *Mirror[R] {
	m := &Mirror[R]{name: kind.Name, stores: map[string]*store[R]{}}
	if len(namespaces) == 0 {
		namespaces = []string{corev1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		m.stores[namespace] = newStore(kind.Index, m.tell)
	}
	m.reflect = func(ctx context.Context, namespace string, s *store[R]) {
		entries := entries(objects(namespace), kind.Record, s.heard)
		reflector := cache.NewReflectorWithOptions(entries, &entry[R]{}, s,
			cache.ReflectorOptions{Name: "mirror of " + kind.Name, TypeDescription: kind.Name})
		reflector.WatchListPageSize = pageSize
		reflector.RunWithContext(ctx)
	}
	return m
}

// Fixed makes a Mirror that knows these objects for ever, as if they were all that there is: for tests.
func Fixed[O client.Object, R any](kind Kind[O, R], objects iter.Seq[O]) *Mirror[R] {
	m := New(kind, nil)
	m.reflect = func(context.Context, string, *store[R]) {}
	s := m.stores[corev1.NamespaceAll]
	for object := range objects {
		if e := entryOf(object, kind.Record); e != nil {
			s.put(e.key, e.record)
		}
	}
	close(s.synced)
	return m
}

// Get is the record of an object; nil if there is none.
func (m *Mirror[R]) Get(object types.NamespacedName) *R {
	if s := m.storeOf(object.Namespace); s != nil {
		return s.get(keyOf(object))
	}
	return nil
}

// ByIndex are the records in a namespace to which the kind's Index gives the value, in no order.
func (m *Mirror[R]) ByIndex(namespace, value string) []*R {
	if s := m.storeOf(namespace); s != nil {
		return s.byIndex(keyOf(types.NamespacedName{Namespace: namespace, Name: value}))
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
	for namespace, s := range m.stores {
		go m.reflect(ctx, namespace, s)
	}
	// A Reflector that waits before it tries again, for up to a minute, doesn't see that the context has ended.
	<-ctx.Done()
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: a standby replica is to know the objects already.
func (m *Mirror[R]) NeedLeaderElection() bool { return false }

// CheckSynced returns nil once the objects that there were at first are known, and until then an error that says why they
// are not, as far as that is known.
func (m *Mirror[R]) CheckSynced() error {
	for namespace, s := range m.stores {
		if !s.isSynced() {
			return m.unsynced(namespace, s)
		}
	}
	return nil
}

func (m *Mirror[R]) unsynced(namespace string, s *store[R]) error {
	where := "namespace " + namespace
	if namespace == corev1.NamespaceAll {
		where = "all namespaces"
	}
	if err := s.lastError(); err != nil {
		return fmt.Errorf("the %s of %s are not known yet: %w", m.name, where, err)
	}
	return fmt.Errorf("the %s of %s are not known yet", m.name, where)
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
