// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// loaders is how many requests at a time make what is there before anything is measured.
const loaders = 16

// each does something for each number below n, so many at a time, and returns the first error.
func each(ctx context.Context, workers, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

// fill makes the namespaces, the claims and the pods of others.
func (b *bench) fill(ctx context.Context) error {
	logf("making %d policies' claims and %d foreign pods", b.policies, b.pods)
	namespaces := (b.policies + perNamespace - 1) / perNamespace
	err := each(ctx, loaders, namespaces, func(ctx context.Context, i int) error {
		name := namespaceOf(i * perNamespace)
		return b.cluster.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	})
	if err != nil {
		return err
	}
	err = each(ctx, loaders, b.policies, func(ctx context.Context, i int) error {
		for _, claim := range claims(i) {
			if err := b.cluster.admin.Create(ctx, claim); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return each(ctx, loaders, b.pods, func(ctx context.Context, i int) error {
		return b.cluster.admin.Create(ctx, foreignPod(i, b.policies))
	})
}

func (b *bench) createPolicies(ctx context.Context, workers int) error {
	return each(ctx, workers, b.policies, func(ctx context.Context, i int) error {
		return b.cluster.admin.Create(ctx, policy(i))
	})
}

// deleteAll deletes all objects of a kind from the policies' namespaces. Nothing else would: there is no garbage collector.
func (b *bench) deleteAll(ctx context.Context, object client.Object) error {
	namespaces := (b.policies + perNamespace - 1) / perNamespace
	return each(ctx, 4, namespaces, func(ctx context.Context, i int) error {
		one, ok := object.DeepCopyObject().(client.Object)
		if !ok {
			return fmt.Errorf("%T is no object", object)
		}
		return b.cluster.admin.DeleteAllOf(ctx, one, client.InNamespace(namespaceOf(i*perNamespace)))
	})
}

// watcher calls a function with each object of a kind that is there or comes or changes, until it says that this is enough.
type watcher struct {
	ended chan error
}

// watch begins to watch. What it has called enough must stay so.
func (b *bench) watch(ctx context.Context, list client.ObjectList, enough func(object client.Object) bool) *watcher {
	w := &watcher{ended: make(chan error, 1)}
	go func() { w.ended <- b.watchUntil(ctx, list, enough) }()
	return w
}

// wait waits until it is enough.
func (w *watcher) wait(ctx context.Context) error {
	select {
	case err := <-w.ended:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b *bench) watchUntil(ctx context.Context, list client.ObjectList, enough func(object client.Object) bool) error {
	for {
		if err := b.cluster.admin.List(ctx, list); err != nil {
			return err
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			return err
		}
		for _, item := range items {
			if object, ok := item.(client.Object); ok && enough(object) {
				return nil
			}
		}
		events, err := b.cluster.admin.Watch(ctx, list, &client.ListOptions{
			Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()},
		})
		if err != nil {
			return err
		}
		done := follow(events, enough)
		events.Stop()
		if done || ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// follow says whether it was enough before the API server closed the watch, as it does from time to time.
func follow(events watch.Interface, enough func(object client.Object) bool) bool {
	for event := range events.ResultChan() {
		if event.Type != watch.Added && event.Type != watch.Modified {
			continue
		}
		if object, ok := event.Object.(client.Object); ok && enough(object) {
			return true
		}
	}
	return false
}

// count returns a function that is content when it has seen so many different objects that hold.
func count(n int, holds func(object client.Object) bool) func(object client.Object) bool {
	seen := make(map[client.ObjectKey]struct{}, n)
	return func(object client.Object) bool {
		if holds(object) {
			seen[client.ObjectKeyFromObject(object)] = struct{}{}
		}
		return len(seen) >= n
	}
}
