// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package holders

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// entries lists and watches the pods that hold claims. The API server leaves out those that hold nothing now, because
// they are on no node yet or have ended, and the backups' own; a pod's claims are no field that it could select by.
func entries(pods typedcorev1.PodInterface) *cache.ListWatch {
	narrow := func(options *metav1.ListOptions) {
		options.FieldSelector = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
		options.LabelSelector = "!" + backupv1alpha1.LabelPolicy
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			narrow(&options)
			if options.ResourceVersion == "0" {
				// From its own cache the API server gives all pods at once only.
				options.ResourceVersion = ""
			}
			page, err := pods.List(ctx, options)
			if err != nil {
				return nil, err
			}
			list := &entryList{ListMeta: page.ListMeta}
			for i := range page.Items {
				if e := entryOf(&page.Items[i]); e != nil {
					list.Items = append(list.Items, *e)
				}
			}
			return list, nil
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			narrow(&options)
			watcher, err := pods.Watch(ctx, options)
			if err != nil {
				return nil, err
			}
			return watchEntries(watcher), nil
		},
	}
}

// toEntry lets pass what concerns pods that hold claims, as entries. Errors and the ends of what the server has pass too.
func toEntry(e watch.Event) (watch.Event, bool) {
	pod, ok := e.Object.(*corev1.Pod)
	if !ok {
		return e, true
	}
	if e.Type == watch.Bookmark {
		e.Object = &entry{ObjectMeta: metav1.ObjectMeta{
			ResourceVersion: pod.ResourceVersion, Annotations: pod.Annotations,
		}}
		return e, true
	}
	entry := entryOf(pod)
	if entry == nil {
		return e, false
	}
	e.Object = entry
	return e, true
}

// entryWatch passes on what a watch of pods tells, as entries. Unlike watch.Filter it ends when it is stopped, whether or
// not somebody still reads.
type entryWatch struct {
	pods    watch.Interface
	entries chan watch.Event
	stopped chan struct{}
	stop    func()
}

func watchEntries(pods watch.Interface) watch.Interface {
	w := &entryWatch{pods: pods, entries: make(chan watch.Event), stopped: make(chan struct{})}
	w.stop = sync.OnceFunc(func() {
		close(w.stopped)
		pods.Stop()
	})
	go w.run()
	return w
}

// Stop implements watch.Interface.
func (w *entryWatch) Stop() { w.stop() }

// ResultChan implements watch.Interface.
func (w *entryWatch) ResultChan() <-chan watch.Event { return w.entries }

func (w *entryWatch) run() {
	defer close(w.entries)
	for event := range w.pods.ResultChan() {
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
