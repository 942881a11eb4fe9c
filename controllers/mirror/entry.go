// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"slices"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// key is the name of an object. All objects of a namespace share the namespace's.
type key struct {
	namespace unique.Handle[string]
	name      string
}

func keyOf(name types.NamespacedName) key { return key{unique.Make(name.Namespace), name.Name} }

func (k key) namespacedName() types.NamespacedName {
	return types.NamespacedName{Namespace: k.namespace.Value(), Name: k.name}
}

// entry takes a record through the Reflector, which knows objects only. The Reflector holds all of them for a moment, so
// they are small: what metadata it asks for is made when it does.
type entry[R any] struct {
	key         key
	version     string
	annotations map[string]string
	record      *R
}

// entryOf is the entry of an object; nil if nothing is kept of it.
func entryOf[O client.Object, R any](object O, recordOf func(O) *R) *entry[R] {
	record := recordOf(object)
	if record == nil {
		return nil
	}
	e := nameOf[R](object)
	e.record = record
	return e
}

// nameOf is the entry of an object without its record.
func nameOf[R any](object metav1.Object) *entry[R] {
	return &entry[R]{
		key:     key{unique.Make(object.GetNamespace()), object.GetName()},
		version: object.GetResourceVersion(),
	}
}

// GetObjectKind implements runtime.Object.
func (e *entry[R]) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. Records are never changed.
func (e *entry[R]) DeepCopyObject() runtime.Object {
	c := *e
	return &c
}

// GetObjectMeta implements metav1.ObjectMetaAccessor.
func (e *entry[R]) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{
		Namespace: e.key.namespace.Value(), Name: e.key.name, ResourceVersion: e.version, Annotations: e.annotations,
	}
}

// entryList is a page of entries.
type entryList[R any] struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []entry[R]
}

// DeepCopyObject implements runtime.Object.
func (l *entryList[R]) DeepCopyObject() runtime.Object {
	return &entryList[R]{TypeMeta: l.TypeMeta, ListMeta: *l.ListMeta.DeepCopy(), Items: slices.Clone(l.Items)}
}
