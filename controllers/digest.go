// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// digest stands for the fields of a CronJob that are the operator's own. Two CronJobs with the same digest have the same
// ones, with the same values.
type digest [16]byte

// digestOf is the digest that a CronJob has in the cluster once it is applied as it is wanted.
func digestOf(wanted *batchv1.CronJob) (digest, error) {
	fields, err := appliedFields(wanted)
	if err != nil {
		return digest{}, err
	}
	return sumOf(fields)
}

// ownDigest is the digest of what is the operator's own of a CronJob in the cluster.
func ownDigest(object *batchv1.CronJob) (digest, error) {
	fields, err := ownedFields(object, ownSet(object))
	if err != nil {
		return digest{}, err
	}
	return sumOf(fields)
}

// sumOf is the digest of fields. It removes from them what is empty.
func sumOf(fields map[string]any) (digest, error) {
	sum := sha256.New()
	err := json.NewEncoder(sum).Encode(withoutEmpty(fields))
	return digest(sum.Sum(nil)[:len(digest{})]), err
}

// ownSet is the set of the fields that the operator has applied; empty if it has applied none.
func ownSet(cronJob *batchv1.CronJob) string {
	for i := range cronJob.ManagedFields {
		entry := &cronJob.ManagedFields[i]
		if entry.Manager == string(FieldOwner) && entry.Operation == metav1.ManagedFieldsOperationApply &&
			entry.Subresource == "" && entry.FieldsV1 != nil {
			return entry.FieldsV1.GetRawString()
		}
	}
	return ""
}

// ownedFields are the fields of a CronJob that are in the set, in the form in which they are applied.
func ownedFields(cronJob *batchv1.CronJob, set string) (map[string]any, error) {
	if set == "" {
		return map[string]any{}, nil
	}
	var members map[string]any
	if err := json.Unmarshal([]byte(set), &members); err != nil {
		return nil, fmt.Errorf("managedFields: %w", err)
	}
	// Who owns what, and how it goes, is owned by nobody and is much.
	owned := &batchv1.CronJob{ObjectMeta: cronJob.ObjectMeta, Spec: cronJob.Spec}
	owned.ManagedFields = nil
	all, err := runtime.DefaultUnstructuredConverter.ToUnstructured(owned)
	if err != nil {
		return nil, err
	}
	fields, _ := membersOf(all, members).(map[string]any)
	// What an object is and is called belongs to no one, and is applied with it.
	fields["apiVersion"], fields["kind"] = batchv1.SchemeGroupVersion.String(), "CronJob"
	metadata, ok := fields["metadata"].(map[string]any)
	if !ok {
		metadata = map[string]any{}
		fields["metadata"] = metadata
	}
	metadata["name"], metadata["namespace"] = cronJob.Name, cronJob.Namespace
	return fields, nil
}

// membersOf is what of a value is in a set of fields, in the format FieldsV1: f:NAME is a field, k:KEYS an item of a list
// by its keys, v:VALUE an item by its value, "." the object or item itself; one without members is in the set as a whole.
// client-go's extraction does the same by way of the schema of all types, which takes more memory than a thousand policies.
func membersOf(value any, set map[string]any) any {
	if len(set) == 0 {
		return value
	}
	switch v := value.(type) {
	case map[string]any:
		fields := map[string]any{}
		for name, member := range set {
			name, isField := strings.CutPrefix(name, "f:")
			if child, exists := v[name]; isField && exists {
				below, _ := member.(map[string]any)
				fields[name] = membersOf(child, below)
			}
		}
		return fields
	case []any:
		items, wanted := []any{}, itemsOf(set)
		for _, item := range v {
			i := slices.IndexFunc(wanted, func(m member) bool { return same(item, m.key) })
			if i >= 0 {
				items = append(items, membersOf(item, wanted[i].below))
			}
		}
		return items
	default:
		return value
	}
}

// member is an item of a list in a set of fields: by which key it is found, and what of it is in there.
type member struct {
	key   any
	below map[string]any
}

// itemsOf are the items of a list in a set.
func itemsOf(set map[string]any) []member {
	items := make([]member, 0, len(set))
	for name, below := range set {
		kind, text, _ := strings.Cut(name, ":")
		var key any
		if kind != "k" && kind != "v" || utiljson.Unmarshal([]byte(text), &key) != nil {
			continue
		}
		of, _ := below.(map[string]any)
		items = append(items, member{key, of})
	}
	return items
}

// same says whether an item is the one with such a key: itself if it is a scalar, else a few of its fields.
func same(item, key any) bool {
	keys, isObject := key.(map[string]any)
	if !isObject {
		return item == key
	}
	fields, ok := item.(map[string]any)
	for name, value := range keys {
		ok = ok && fields[name] == value
	}
	return ok
}

// withoutEmpty removes nulls, empty objects and empty lists, which differ between the ways in which a CronJob is
// written and mean nothing. It changes its argument.
func withoutEmpty(object map[string]any) map[string]any {
	for key, value := range object {
		switch v := value.(type) {
		case nil:
			delete(object, key)
		case map[string]any:
			if len(withoutEmpty(v)) == 0 {
				delete(object, key)
			}
		case []any:
			if len(v) == 0 {
				delete(object, key)
			}
			for _, item := range v {
				if m, ok := item.(map[string]any); ok {
					withoutEmpty(m)
				}
			}
		}
	}
	return object
}
