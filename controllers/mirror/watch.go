// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// entries lists and watches the entries of objects. heard is called with the error of each request, nil for none.
func entries[O client.Object, R any](
	objects *cache.ListWatch, recordOf func(O) *R, heard func(error),
) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			page, err := objects.ListWithContext(ctx, latest(options))
			heard(err)
			if err != nil {
				return nil, err
			}
			return toEntries(page, recordOf)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			watcher, err := objects.WatchWithContext(ctx, options)
			heard(err)
			if err != nil {
				return nil, err
			}
			return watchEntries(watcher, recordOf), nil
		},
	}
}

// latest asks for the objects as they are now. Of a list in pages, another version than none means just that version
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list), but for "0", from which the
// API server makes one page of everything. A Reflector gives the version that it knew last, meaning "not older": an API
// server that has forgotten what came after it would go on to list the objects as they were then.
func latest(options metav1.ListOptions) metav1.ListOptions {
	if options.ResourceVersionMatch == "" {
		options.ResourceVersion = ""
	}
	return options
}

// toEntries makes a page of entries of a page of objects.
func toEntries[O client.Object, R any](page runtime.Object, recordOf func(O) *R) (*entryList[R], error) {
	of, err := meta.ListAccessor(page)
	if err != nil {
		return nil, err
	}
	list := &entryList[R]{ListMeta: metav1.ListMeta{
		ResourceVersion: of.GetResourceVersion(), Continue: of.GetContinue(), RemainingItemCount: of.GetRemainingItemCount(),
	}}
	err = meta.EachListItem(page, func(item runtime.Object) error {
		object, ok := item.(O)
		if !ok {
			return fmt.Errorf("a %T in a list of %T", item, object)
		}
		if e := entryOf(object, recordOf); e != nil {
			list.Items = append(list.Items, *e)
		}
		return nil
	})
	return list, err
}

// toEntry lets pass what concerns objects of which something is kept, as entries. One of which nothing is kept any more is
// gone. Errors and the ends of what the server has pass too.
func toEntry[O client.Object, R any](e watch.Event, recordOf func(O) *R) (watch.Event, bool) {
	object, ok := e.Object.(O)
	if !ok {
		return e, true
	}
	if e.Type == watch.Bookmark {
		end := nameOf[R](object)
		end.annotations = object.GetAnnotations()
		e.Object = end
		return e, true
	}
	if e.Type == watch.Deleted {
		e.Object = nameOf[R](object)
		return e, true
	}
	if entry := entryOf(object, recordOf); entry != nil {
		e.Object = entry
		return e, true
	}
	concerns := e.Type == watch.Modified
	return watch.Event{Type: watch.Deleted, Object: nameOf[R](object)}, concerns
}

// entryWatch passes on what a watch of objects tells, as entries. Unlike watch.Filter it ends when it is stopped, whether
// or not somebody still reads.
type entryWatch struct {
	objects watch.Interface
	entries chan watch.Event
	stopped chan struct{}
	stop    func()
}

func watchEntries[O client.Object, R any](objects watch.Interface, recordOf func(O) *R) watch.Interface {
	w := &entryWatch{objects: objects, entries: make(chan watch.Event), stopped: make(chan struct{})}
	w.stop = sync.OnceFunc(func() {
		close(w.stopped)
		objects.Stop()
	})
	go w.run(func(e watch.Event) (watch.Event, bool) { return toEntry(e, recordOf) })
	return w
}

// Stop implements watch.Interface.
func (w *entryWatch) Stop() { w.stop() }

// ResultChan implements watch.Interface.
func (w *entryWatch) ResultChan() <-chan watch.Event { return w.entries }

func (w *entryWatch) run(toEntry func(watch.Event) (watch.Event, bool)) {
	defer close(w.entries)
	for event := range w.objects.ResultChan() {
		entry, concerns := toEntry(event)
		if !concerns {
			continue
		}
		select {
		case w.entries <- entry:
		case <-w.stopped:
			return
		}
	}
}
