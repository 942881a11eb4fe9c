// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/controllers/holders"
)

// A volume of the access mode ReadWriteOnce can be mounted by the pods of one node at a time. While the appliance has it,
// a run can start on the appliance's node only. The node may be another one at each run, and the operator may be down, so
// the CronJob doesn't name the node but the appliance's pods: the scheduler then finds the node when the run starts.

// volatileLabels change from one pod of an appliance to the next, when it is updated or restarted. Runs go by the labels
// that stay, so that they find the appliance after an update that the operator has not seen.
var volatileLabels = []string{
	"pod-template-hash",
	"controller-revision-hash",
	"pod-template-generation",
	"app.kubernetes.io/version",
	"helm.sh/chart",
	"controller-uid",
	"job-name",
	"batch.kubernetes.io/controller-uid",
	"batch.kubernetes.io/job-name",
}

// nodeName is the one field of nodes that a node affinity can select by.
const nodeName = "metadata.name"

// heldClaim is a claim that runs mount, that one node at a time can mount, and that pods of others hold.
type heldClaim struct {
	name string
	// holders are the pods that hold it, oldest first; never empty.
	holders []holders.Pod
}

// heldClaims are the claims that bind the policy's runs to a node, sorted by name.
func heldClaims(spec *backupv1alpha1.BackupPolicySpec, claims map[string]claim) []heldClaim {
	var held []heldClaim
	for _, name := range directClaimNames(spec) {
		if c := claims[name]; c.isOfOneNode() && len(c.holders) > 0 {
			held = append(held, heldClaim{name: name, holders: c.holders})
		}
	}
	return held
}

// anchors are the pods that a run has to be beside: for each claim the oldest of its holders, on a node that holds all of
// the claims if there is one.
func anchors(held []heldClaim) []holders.Pod {
	node := commonNode(held)
	pods := make([]holders.Pod, 0, len(held))
	for _, claim := range held {
		onNode := slices.IndexFunc(claim.holders, func(p holders.Pod) bool { return p.Node == node })
		pods = append(pods, claim.holders[max(onNode, 0)])
	}
	return pods
}

// commonNode is the node on which all of the claims are held, of several the one of the oldest pod; empty if there is
// none.
func commonNode(held []heldClaim) string {
	var candidates []holders.Pod
	for _, claim := range held {
		candidates = append(candidates, claim.holders...)
	}
	slices.SortStableFunc(candidates, func(a, b holders.Pod) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.Name, b.Name))
	})
	for _, pod := range candidates {
		holdsAll := !slices.ContainsFunc(held, func(claim heldClaim) bool { return !claim.isOn(pod.Node) })
		if holdsAll {
			return pod.Node
		}
	}
	return ""
}

func (h *heldClaim) isOn(node string) bool {
	return slices.ContainsFunc(h.holders, func(p holders.Pod) bool { return p.Node == node })
}

// affinity is the user's, nil for none, and that to the pods that a run has to be beside.
func affinity(custom *corev1.Affinity, held []heldClaim) *corev1.Affinity {
	if len(held) == 0 {
		return custom
	}
	result := &corev1.Affinity{}
	if custom != nil {
		result = custom.DeepCopy()
	}
	for _, pod := range anchors(held) {
		if labels := lastingLabels(pod.Labels); len(labels) > 0 {
			requirePods(result, labels)
			preferNode(result, pod.Node)
		} else {
			requireNode(result, pod.Node)
		}
	}
	return result
}

// lastingLabels are the labels that the pod's successors will have too.
func lastingLabels(labels map[string]string) map[string]string {
	lasting := maps.Clone(labels)
	for _, volatile := range volatileLabels {
		delete(lasting, volatile)
	}
	return lasting
}

// requirePods demands a node with a pod that has these labels.
func requirePods(a *corev1.Affinity, labels map[string]string) {
	term := corev1.PodAffinityTerm{
		LabelSelector: &metav1.LabelSelector{MatchLabels: labels}, TopologyKey: corev1.LabelHostname,
	}
	if a.PodAffinity == nil {
		a.PodAffinity = &corev1.PodAffinity{}
	}
	a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution = appendNew(
		a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, term)
}

// preferNode prefers the node among those that the labels of the pods leave, because pods that hold nothing may have the
// same ones.
func preferNode(a *corev1.Affinity, node string) {
	term := corev1.PreferredSchedulingTerm{
		Weight: 100, Preference: corev1.NodeSelectorTerm{MatchFields: isNode(node)},
	}
	if a.NodeAffinity == nil {
		a.NodeAffinity = &corev1.NodeAffinity{}
	}
	a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution = appendNew(
		a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution, term)
}

// requireNode demands the node. Of the user's terms one has to hold, so each of them demands it too.
func requireNode(a *corev1.Affinity, node string) {
	if a.NodeAffinity == nil {
		a.NodeAffinity = &corev1.NodeAffinity{}
	}
	required := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil {
		required = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{}}}
		a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = required
	}
	for i := range required.NodeSelectorTerms {
		term := &required.NodeSelectorTerms[i]
		term.MatchFields = appendNew(term.MatchFields, isNode(node)...)
	}
}

func isNode(name string) []corev1.NodeSelectorRequirement {
	return []corev1.NodeSelectorRequirement{
		{Key: nodeName, Operator: corev1.NodeSelectorOpIn, Values: []string{name}},
	}
}

// tolerations are the user's and those of the pods that a run has to be beside: where these can be, it can be too.
func tolerations(custom []corev1.Toleration, held []heldClaim) []corev1.Toleration {
	result := slices.Clone(custom)
	for _, pod := range anchors(held) {
		result = appendNew(result, pod.Tolerations...)
	}
	return result
}

// appendNew appends the items that are not there yet.
func appendNew[T any](items []T, more ...T) []T {
	for _, item := range more {
		if !slices.ContainsFunc(items, func(known T) bool { return equality.Semantic.DeepEqual(known, item) }) {
			items = append(items, item)
		}
	}
	return items
}
