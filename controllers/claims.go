// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
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
	// phase is empty where it is not known.
	phase corev1.PersistentVolumeClaimPhase
	// terminating reports whether the claim is being deleted. Pods that mount it do not start any more.
	terminating bool
	// holders are the pods of others that mount it, oldest first.
	holders []holders.Pod
}

// claimRecord is what is kept of a claim, all but its holders. Most claims are like many others, and share one text.
type claimRecord struct{ text unique.Handle[claimText] }

// claimText is a claim in what can be compared. What is absent differs from what is empty.
type claimText struct {
	// accessModes are separated by modeSeparator.
	accessModes string
	phase       corev1.PersistentVolumeClaimPhase
	// size is in bytes, and sizeFormat how people write it.
	size                         int64
	sizeFormat                   resource.Format
	storageClassName, volumeMode optional
	terminating                  bool
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
func claimKind() mirror.Kind[*corev1.PersistentVolumeClaim, claimRecord] {
	return mirror.Kind[*corev1.PersistentVolumeClaim, claimRecord]{Name: "PersistentVolumeClaims", Record: claimRecordOf}
}

// modeSeparator separates access modes, in none of which it is.
const modeSeparator = ","

func claimRecordOf(object *corev1.PersistentVolumeClaim) *claimRecord {
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
	return &claimRecord{unique.Make(claimText{
		accessModes: strings.Join(words, modeSeparator), phase: object.Status.Phase, size: size.Value(), sizeFormat: size.Format,
		storageClassName: optionalOf(object.Spec.StorageClassName), volumeMode: optionalOf(object.Spec.VolumeMode),
		terminating: object.DeletionTimestamp != nil,
	})}
}

// claim is the claim that this is the record of, without its holders.
func (r *claimRecord) claim() claim {
	text := r.text.Value()
	c := claim{
		phase:            text.phase,
		terminating:      text.terminating,
		size:             *resource.NewQuantity(text.size, text.sizeFormat),
		storageClassName: text.storageClassName.pointer(),
		volumeMode:       (*corev1.PersistentVolumeMode)(text.volumeMode.pointer()),
	}
	if text.accessModes != "" {
		for mode := range strings.SplitSeq(text.accessModes, modeSeparator) {
			c.accessModes = append(c.accessModes, corev1.PersistentVolumeAccessMode(mode))
		}
	}
	return c
}

// claimsOf are the claims that runs of the policy mount, as far as they exist, by name.
func (m *Mirrors) claimsOf(policy *backupv1alpha1.BackupPolicy) map[string]claim {
	claims := make(map[string]claim)
	for _, name := range claimNames(&policy.Spec) {
		record := m.claims.Get(types.NamespacedName{Namespace: policy.Namespace, Name: name})
		if record == nil {
			continue
		}
		c := record.claim()
		c.holders = m.holders.Of(policy.Namespace, name)
		claims[name] = c
	}
	return claims
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
