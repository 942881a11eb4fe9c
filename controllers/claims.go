// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/controllers/holders"
	"appliance.io/backup-operator/controllers/mirror"
)

// claim is what matters of a PersistentVolumeClaim to the runs that mount it.
type claim struct {
	// accessModes are those of the volume, or those that are asked for while there is no volume yet.
	accessModes []corev1.PersistentVolumeAccessMode
	// size is the larger of what is asked for and what there is: a volume may have been made larger than asked for, and a
	// claim may be waiting to grow.
	size             resource.Quantity
	storageClassName *string
	volumeMode       *corev1.PersistentVolumeMode
	// holders are the pods of others that mount it, oldest first.
	holders []holders.Pod
}

// volume is what is kept of a claim, all but its holders. Most claims are like many others, and share one.
type volume = unique.Handle[volumeText]

// volumeText is a claim in words, which can be compared. Absent ones differ from empty ones.
type volumeText struct {
	accessModes, size            string
	storageClassName, volumeMode optional
}

// optional is a string that may be absent.
type optional struct {
	value   string
	present bool
}

func optionalOf[S ~string](value *S) optional {
	return optional{string(ptr.Deref(value, "")), value != nil}
}

func (o optional) pointer() *string {
	if !o.present {
		return nil
	}
	return &o.value
}

// claimKind is how claims are mirrored.
func claimKind() mirror.Kind[*corev1.PersistentVolumeClaim, volume] {
	return mirror.Kind[*corev1.PersistentVolumeClaim, volume]{
		Name:   "PersistentVolumeClaims",
		Record: func(object *corev1.PersistentVolumeClaim) (volume, bool) { return volumeOf(object), true },
		Same:   func(a, b volume) bool { return a == b },
	}
}

// modeSeparator separates access modes, in none of which it is.
const modeSeparator = ","

func volumeOf(object *corev1.PersistentVolumeClaim) volume {
	modes := object.Status.AccessModes
	if len(modes) == 0 {
		modes = object.Spec.AccessModes
	}
	size := object.Spec.Resources.Requests[corev1.ResourceStorage]
	if capacity := object.Status.Capacity[corev1.ResourceStorage]; capacity.Cmp(size) > 0 {
		size = capacity
	}
	words := make([]string, len(modes))
	for i, mode := range modes {
		words[i] = string(mode)
	}
	return unique.Make(volumeText{
		accessModes: strings.Join(words, modeSeparator), size: size.String(),
		storageClassName: optionalOf(object.Spec.StorageClassName), volumeMode: optionalOf(object.Spec.VolumeMode),
	})
}

// claimOf is the claim that was kept as such a volume.
func claimOf(v volume) (claim, error) {
	text := v.Value()
	c := claim{
		storageClassName: text.storageClassName.pointer(),
		volumeMode:       (*corev1.PersistentVolumeMode)(text.volumeMode.pointer()),
	}
	if text.accessModes != "" {
		for mode := range strings.SplitSeq(text.accessModes, modeSeparator) {
			c.accessModes = append(c.accessModes, corev1.PersistentVolumeAccessMode(mode))
		}
	}
	var err error
	c.size, err = resource.ParseQuantity(text.size)
	return c, err
}

// claims are the claims that runs of the policy mount, as far as they exist.
func (m *Mirrors) claims(policy *backupv1alpha1.BackupPolicy) (map[string]claim, error) {
	claims := make(map[string]claim)
	for _, name := range claimNames(&policy.Spec) {
		v, exists := m.volumes.Get(types.NamespacedName{Namespace: policy.Namespace, Name: name})
		if !exists {
			continue
		}
		c, err := claimOf(v)
		if err != nil {
			return nil, fmt.Errorf("PersistentVolumeClaim %s/%s: %w", policy.Namespace, name, err)
		}
		c.holders = m.holders.Of(policy.Namespace, name)
		claims[name] = c
	}
	return claims, nil
}

// missingClaims are the claims that runs of the policy mount and that do not exist, sorted.
func missingClaims(spec *backupv1alpha1.BackupPolicySpec, claims map[string]claim) []string {
	return slices.DeleteFunc(claimNames(spec), func(name string) bool {
		_, exists := claims[name]
		return exists
	})
}

// isOfOneNode says whether only the pods of one node at a time can mount the claim. A claim that has other modes beside
// ReadWriteOnce is mounted by the laxest that allows writing.
func (c claim) isOfOneNode() bool {
	return slices.Contains(c.accessModes, corev1.ReadWriteOnce) && !slices.Contains(c.accessModes, corev1.ReadWriteMany)
}

// isOfOnePod says whether only one pod at a time can mount the claim.
func (c claim) isOfOnePod() bool { return slices.Contains(c.accessModes, corev1.ReadWriteOncePod) }

// claimNames are the claims that runs of the policy mount or clone, sorted, each once.
func claimNames(spec *backupv1alpha1.BackupPolicySpec) []string {
	return namesOfClaims(spec, func(*backupv1alpha1.SourceVolume) bool { return true })
}

// directClaimNames are the claims that runs of the policy mount themselves, sorted, each once.
func directClaimNames(spec *backupv1alpha1.BackupPolicySpec) []string {
	return namesOfClaims(spec, func(volume *backupv1alpha1.SourceVolume) bool { return !isCloned(volume) })
}

// namesOfClaims are the names of the policy's claims, of its sources only those that are chosen.
func namesOfClaims(
	spec *backupv1alpha1.BackupPolicySpec, chosen func(*backupv1alpha1.SourceVolume) bool,
) []string {
	var names []string
	add := func(claim *backupv1alpha1.ClaimReference) {
		if claim != nil {
			names = append(names, claim.ClaimName)
		}
	}
	for _, volume := range enabledVolumes(spec) {
		if chosen(&volume) {
			add(volume.PersistentVolumeClaim)
		}
	}
	if spec.Storage != nil {
		add(spec.Storage.PersistentVolumeClaim)
	}
	if remoteIsMounted(spec) {
		add(spec.RemotePartition.PersistentVolumeClaim)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
