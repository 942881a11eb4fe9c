// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package holders

import (
	"cmp"
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// entry takes a record through the Reflector, which knows objects only.
type entry struct {
	metav1.TypeMeta
	metav1.ObjectMeta
	record *record
}

// DeepCopyObject implements runtime.Object. Records are never changed.
func (e *entry) DeepCopyObject() runtime.Object {
	return &entry{TypeMeta: e.TypeMeta, ObjectMeta: *e.ObjectMeta.DeepCopy(), record: e.record}
}

func (e *entry) key() types.NamespacedName {
	return types.NamespacedName{Namespace: e.Namespace, Name: e.Name}
}

// entryList is a page of entries.
type entryList struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []entry
}

// DeepCopyObject implements runtime.Object.
func (l *entryList) DeepCopyObject() runtime.Object {
	return &entryList{TypeMeta: l.TypeMeta, ListMeta: *l.ListMeta.DeepCopy(), Items: slices.Clone(l.Items)}
}

// entryOf is the entry of a pod; nil if it holds no claim.
func entryOf(pod *corev1.Pod) *entry {
	r := recordOf(pod)
	if r == nil {
		return nil
	}
	return &entry{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.namespace.Value(), Name: r.name, ResourceVersion: pod.ResourceVersion,
		},
		record: r,
	}
}

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
			return watch.Filter(watcher, toEntry), nil
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

func sortLabels(labels []label) {
	slices.SortFunc(labels, func(a, b label) int {
		return cmp.Or(strings.Compare(a.key.Value(), b.key.Value()), strings.Compare(a.value.Value(), b.value.Value()))
	})
}
