// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package holders

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
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

func sortLabels(labels []label) {
	slices.SortFunc(labels, func(a, b label) int {
		return cmp.Or(strings.Compare(a.key.Value(), b.key.Value()), strings.Compare(a.value.Value(), b.value.Value()))
	})
}
