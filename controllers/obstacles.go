// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// withObstacles is the readiness of a policy whose settings are in force, and what in the cluster keeps its runs from
// starting all the same.
func withObstacles(r readiness, spec *backupv1alpha1.BackupPolicySpec, claims map[string]claim) readiness {
	if r.status != metav1.ConditionTrue || disabled(spec) {
		return r
	}
	if missing := missingClaims(spec, claims); len(missing) > 0 {
		return waitingForClaims(r, missing)
	}
	f := lostClaims(spec, claims)
	if f == nil {
		f = unmountableClaims(spec, claims)
	}
	if f == nil {
		f = forOnePod(spec, claims)
	}
	if f == nil {
		f = onDifferentNodes(heldClaims(spec, claims))
	}
	if f != nil {
		r.status, r.beside = metav1.ConditionFalse, backupv1alpha1.ConditionStalled
		r.reason, r.message = f.reason, f.message
	}
	return r
}

// waitingForClaims is the readiness of a policy whose CronJob stands but whose runs can't start. It is not stalled: a
// claim that is applied together with the policy may come a moment later.
func waitingForClaims(r readiness, missing []string) readiness {
	r.status, r.beside = metav1.ConditionFalse, backupv1alpha1.ConditionReconciling
	r.reason = backupv1alpha1.ReasonClaimNotFound
	r.message = fmt.Sprintf("there is no PersistentVolumeClaim %s in the policy's namespace, so runs can't start: make it, "+
		"or correct the name", strings.Join(missing, ", "))
	return r
}

// lostClaims is that claims have lost their volumes, which nothing but a new claim mends.
func lostClaims(spec *backupv1alpha1.BackupPolicySpec, claims map[string]claim) *fault {
	lost := slices.DeleteFunc(claimNames(spec), func(name string) bool { return claims[name].phase != corev1.ClaimLost })
	if len(lost) == 0 {
		return nil
	}
	return &fault{backupv1alpha1.ReasonClaimLost, fmt.Sprintf(
		"the PersistentVolume of the claim %s does not exist any more, so runs can't start: create the claim again with a "+
			"volume that exists, or name another claim", strings.Join(lost, ", "))}
}

// unmountableClaims is the fault of claims that exist but that no run can mount, nor a clone of them.
func unmountableClaims(spec *backupv1alpha1.BackupPolicySpec, claims map[string]claim) *fault {
	for _, name := range claimNames(spec) {
		c := claims[name]
		if c.terminating {
			return &fault{backupv1alpha1.ReasonClaimTerminating, fmt.Sprintf(
				"the claim %s is being deleted, so runs can't start: name another claim, or create it again once it is gone", name)}
		}
		if ptr.Deref(c.volumeMode, corev1.PersistentVolumeFilesystem) == corev1.PersistentVolumeBlock {
			return &fault{backupv1alpha1.ReasonClaimBlockMode, fmt.Sprintf(
				"the claim %s has the volumeMode Block, so it holds no files, and runs can't mount it: name a claim with the "+
					"volumeMode Filesystem", name)}
		}
	}
	return nil
}

// forOnePod is the fault of claims that only one pod at a time can mount. A source is the appliance's, and a run that had
// it would keep the appliance from starting: it is told even while nobody holds it. The policy's own storage is the runs'
// alone as long as nobody else holds it.
func forOnePod(spec *backupv1alpha1.BackupPolicySpec, claims map[string]claim) *fault {
	for _, volume := range enabledVolumes(spec) {
		if volume.PersistentVolumeClaim == nil || isCloned(&volume) {
			continue
		}
		if name := volume.PersistentVolumeClaim.ClaimName; claims[name].isOfOnePod() {
			return &fault{backupv1alpha1.ReasonClaimReadWriteOncePod, fmt.Sprintf(
				"the claim %s of volume %s has the access mode ReadWriteOncePod, so only one pod at a time can mount it, and "+
					"the appliance is to have it: set copyMethod of the volume to Clone, or give the claim the access mode "+
					"ReadWriteOnce", name, volume.Name)}
		}
	}
	for _, name := range directClaimNames(spec) {
		if c := claims[name]; c.isOfOnePod() && len(c.holders) > 0 {
			return &fault{backupv1alpha1.ReasonClaimReadWriteOncePod, fmt.Sprintf(
				"the claim %s has the access mode ReadWriteOncePod, so only one pod at a time can mount it, and pod %s has it: "+
					"delete that pod, or give the claim the access mode ReadWriteOnce", name, c.holders[0].Name)}
		}
	}
	return nil
}

// onDifferentNodes is the fault of claims of which each binds runs to another node.
func onDifferentNodes(held []heldClaim) *fault {
	if len(held) == 0 || commonNode(held) != "" {
		return nil
	}
	where := make([]string, 0, len(held))
	for i := range held {
		where = append(where, fmt.Sprintf("%s on %s", held[i].name, strings.Join(held[i].nodes(), " and ")))
	}
	return &fault{backupv1alpha1.ReasonVolumesOnDifferentNodes, fmt.Sprintf(
		"runs can't start, because the volumes are in use on different nodes and only one node at a time can mount each: %s. "+
			"Have the pods that use them run on one node, or make a policy for each node's volumes, or set copyMethod to Clone",
		strings.Join(where, ", "))}
}

// nodes are the nodes on which the claim is held, sorted.
func (h *heldClaim) nodes() []string {
	nodes := make([]string, 0, len(h.holders))
	for _, pod := range h.holders {
		nodes = append(nodes, pod.Node)
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}
