// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package holders

import (
	"maps"
	"slices"
	"time"
	"unique"

	corev1 "k8s.io/api/core/v1"
)

// Pod is what is known of a pod that holds claims.
type Pod struct {
	Name string
	// Created is when the pod was made, to the second.
	Created time.Time
	// Node is the name of the node that the pod is on. It is never empty.
	Node string
	// Labels are the pod's labels; nil if it has none.
	Labels map[string]string
	// Tolerations are the pod's, without those that Kubernetes gives to every pod.
	Tolerations []corev1.Toleration
	// SELinuxOptions are those of the pod, or of the first of its containers that mounts a claim; nil if there are none.
	SELinuxOptions *corev1.SELinuxOptions
}

// record is what is kept of a pod: as little as will do, because there may be very many. Strings that are the same in
// many pods are kept once.
type record struct {
	name           string
	node           unique.Handle[string]
	created        int64
	labels         []label
	tolerations    []corev1.Toleration
	seLinuxOptions *corev1.SELinuxOptions
	claims         []string
}

// label is a label of a pod. Its value is the zero one where it is the pod's name, as the labels that are different for
// each pod mostly are.
type label struct{ key, value unique.Handle[string] }

func labelOf(pod *corev1.Pod, key, value string) label {
	if value == pod.Name {
		return label{key: unique.Make(key)}
	}
	return label{unique.Make(key), unique.Make(value)}
}

// valueIn is the value of the label in the record of its pod.
func (l label) valueIn(r *record) string {
	if l.value == (unique.Handle[string]{}) {
		return r.name
	}
	return l.value.Value()
}

// recordOf is the record of a pod; nil if the pod holds no claim.
func recordOf(pod *corev1.Pod) *record {
	claims := claimsOf(pod)
	if len(claims) == 0 {
		return nil
	}
	r := &record{
		name:           pod.Name,
		node:           unique.Make(pod.Spec.NodeName),
		created:        pod.CreationTimestamp.Unix(),
		seLinuxOptions: seLinuxOptions(pod),
		claims:         claims,
	}
	if len(pod.Labels) > 0 {
		r.labels = make([]label, 0, len(pod.Labels))
	}
	for _, key := range slices.Sorted(maps.Keys(pod.Labels)) {
		r.labels = append(r.labels, labelOf(pod, key, pod.Labels[key]))
	}
	for _, toleration := range pod.Spec.Tolerations {
		if !givenToAll(&toleration) {
			r.tolerations = append(r.tolerations, toleration)
		}
	}
	return r
}

// pod is the record as others see it.
func (r *record) pod() Pod {
	p := Pod{
		Name: r.name, Created: time.Unix(r.created, 0).UTC(), Node: r.node.Value(),
		Tolerations: r.tolerations, SELinuxOptions: r.seLinuxOptions,
	}
	if len(r.labels) > 0 {
		p.Labels = make(map[string]string, len(r.labels))
	}
	for _, l := range r.labels {
		p.Labels[l.key.Value()] = l.valueIn(r)
	}
	return p
}

// claimsOf are the claims that the pod mounts. Those of its ephemeral volumes are among them: they are named after the
// pod and the volume.
func claimsOf(pod *corev1.Pod) []string {
	var claims []string
	for i := range pod.Spec.Volumes {
		if claim := claimOf(pod, &pod.Spec.Volumes[i]); claim != "" {
			claims = append(claims, claim)
		}
	}
	return claims
}

func claimOf(pod *corev1.Pod, volume *corev1.Volume) string {
	switch {
	case volume.PersistentVolumeClaim != nil:
		return volume.PersistentVolumeClaim.ClaimName
	case volume.Ephemeral != nil:
		return pod.Name + "-" + volume.Name
	}
	return ""
}

// givenToAll says whether a toleration is one of the two that admission adds to every pod, from
// https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions.
func givenToAll(t *corev1.Toleration) bool {
	return t.Effect == corev1.TaintEffectNoExecute && t.Operator == corev1.TolerationOpExists &&
		t.TolerationSeconds != nil && (t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable)
}

func seLinuxOptions(pod *corev1.Pod) *corev1.SELinuxOptions {
	if s := pod.Spec.SecurityContext; s != nil && s.SELinuxOptions != nil {
		return s.SELinuxOptions
	}
	holds := make(map[string]bool)
	for i := range pod.Spec.Volumes {
		holds[pod.Spec.Volumes[i].Name] = claimOf(pod, &pod.Spec.Volumes[i]) != ""
	}
	for _, container := range pod.Spec.Containers {
		if container.SecurityContext == nil || container.SecurityContext.SELinuxOptions == nil {
			continue
		}
		for _, mount := range container.VolumeMounts {
			if holds[mount.Name] {
				return container.SecurityContext.SELinuxOptions
			}
		}
	}
	return nil
}
