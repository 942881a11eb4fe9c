// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// fullClaim is a claim with a bit of everything.
func fullClaim() *corev1.PersistentVolumeClaim {
	object := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
		Namespace: "orbit", Name: "data", UID: "u", ResourceVersion: "7",
		Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"large": "annotation"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
	}}
	object.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany, corev1.ReadWriteOnce}
	object.Spec.StorageClassName = ptr.To("fast")
	object.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeFilesystem)
	object.Spec.VolumeName = "pv"
	object.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("2Gi")}
	object.Status.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	object.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("3Gi")}
	return object
}

// asKept is what the operator knows of a claim that it mirrors.
func asKept(object *corev1.PersistentVolumeClaim) claim {
	return claimRecordOf(object).claim()
}

func TestWhatIsKeptOfAClaimIsWhatRunsGoBy(t *testing.T) {
	full := fullClaim()
	want := claim{
		accessModes: full.Status.AccessModes, size: resource.MustParse("3Gi"),
		storageClassName: full.Spec.StorageClassName, volumeMode: full.Spec.VolumeMode,
	}
	unexported := cmp.AllowUnexported(claim{})
	if diff := cmp.Diff(want, asKept(full), unexported); diff != "" {
		t.Error(diff)
	}
	full.DeletionTimestamp = &metav1.Time{Time: start}
	want.terminating = true
	full.Status.AccessModes, full.Spec.StorageClassName, full.Spec.VolumeMode = nil, ptr.To(""), nil
	want.accessModes, want.storageClassName, want.volumeMode = full.Spec.AccessModes, ptr.To(""), nil
	if diff := cmp.Diff(want, asKept(full), unexported); diff != "" {
		t.Error(diff)
	}
	empty := asKept(&corev1.PersistentVolumeClaim{})
	if diff := cmp.Diff(claim{}, empty, unexported); diff != "" {
		t.Error(diff)
	}
	if empty.accessModes != nil {
		t.Errorf("access modes %q of a claim that has none", empty.accessModes)
	}
}

func TestTheSizeOfAClaim(t *testing.T) {
	for _, test := range []struct{ requested, capacity, want string }{
		{"2Gi", "", "2Gi"}, {"2Gi", "1Gi", "2Gi"}, {"2Gi", "3Gi", "3Gi"}, {"", "3Gi", "3Gi"},
	} {
		object := &corev1.PersistentVolumeClaim{}
		if test.requested != "" {
			object.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(test.requested)}
		}
		if test.capacity != "" {
			object.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(test.capacity)}
		}
		if size := asKept(object).size; size.Cmp(resource.MustParse(test.want)) != 0 {
			t.Errorf("requested %q, capacity %q: size %s, want %s", test.requested, test.capacity, size.String(), test.want)
		}
	}
}

func TestChangesOfClaimsThatMatter(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*corev1.PersistentVolumeClaim)
		matters bool
	}{
		"nothing": {func(*corev1.PersistentVolumeClaim) {}, false},
		"an annotation": {func(c *corev1.PersistentVolumeClaim) {
			c.Annotations = map[string]string{"seen": "by somebody"}
		}, false},
		"it grows": {func(c *corev1.PersistentVolumeClaim) {
			c.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("9Gi")
		}, true},
		"the same size in other words": {func(c *corev1.PersistentVolumeClaim) {
			c.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("2048Mi")
		}, false},
		"it is bound to a volume of other modes": {func(c *corev1.PersistentVolumeClaim) {
			c.Status.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
		}, true},
	} {
		now := fullClaim()
		test.change(now)
		if got := *claimRecordOf(fullClaim()) != *claimRecordOf(now); got != test.matters {
			t.Errorf("%s: matters %t, want %t", name, got, test.matters)
		}
	}
}
