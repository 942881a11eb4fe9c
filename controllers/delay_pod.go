// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// imageReasons are the kubelet's reasons for an image that it doesn't have, from
// https://github.com/kubernetes/kubernetes/blob/v1.37.0/pkg/kubelet/images/types.go.
var imageReasons = []string{
	"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable",
	"SignatureValidationFailed",
}

// mountReasons are the reasons of events that tell of a volume that can't be had: those of the kubelet, and of the
// attach/detach controller.
var mountReasons = []string{"FailedMount", "FailedAttachVolume", "FailedMapVolume"}

// givesNoCause is how the kubelet's events begin that only say that volumes are still missing. Beside them there mostly
// is one that says why.
const givesNoCause = "Unable to attach or mount volumes"

// notStarted is why a pod doesn't start. Without a word from Kubernetes, there is time until it is overdue.
func notStarted(pod *corev1.Pod, said []kubeEvent, overdue bool) *delay {
	if d := notStartedByStatus(pod); d != nil {
		return d
	}
	onNode := fmt.Sprintf("pod %s on node %s has not started: ", pod.Name, pod.Spec.NodeName)
	if e := newestOf(said, mountReasons...); e != nil {
		return &delay{reason: backupv1alpha1.ReasonVolumeNotMounted, message: fmt.Sprintf(
			"a volume of pod %s can't be mounted on node %s: %s: look whether the storage answers, whether its name is right "+
				"in the policy, and whether the node has the client that it needs", pod.Name, pod.Spec.NodeName, e.message)}
	}
	if e := newestOf(saidOnNode(said)); e != nil {
		return &delay{reason: backupv1alpha1.ReasonPodNotStarted, message: fmt.Sprintf(
			"%s%s: %s: look at kubectl -n %s describe pod %s", onNode, e.reason, e.message, pod.Namespace, pod.Name)}
	}
	if !overdue {
		return nil
	}
	why := "Kubernetes does not say why, so it may wait for a volume: look at kubectl -n " + pod.Namespace +
		" describe pod " + pod.Name
	if pod.Status.StartTime == nil {
		why = "the node's kubelet has not taken it up: look at kubectl describe node " + pod.Spec.NodeName
	}
	return &delay{reason: backupv1alpha1.ReasonPodNotStarted, message: onNode + why}
}

// notStartedByStatus is why a pod doesn't start as far as its own status tells; nil if that doesn't.
func notStartedByStatus(pod *corev1.Pod) *delay {
	if pod.Spec.NodeName == "" {
		return notScheduled(pod)
	}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			if waiting := statuses[i].State.Waiting; waiting != nil {
				if d := containerWaits(pod, &statuses[i], waiting); d != nil {
					return d
				}
			}
		}
	}
	return nil
}

func notScheduled(pod *corev1.Pod) *delay {
	scheduled := podCondition(pod, corev1.PodScheduled)
	if scheduled == nil || scheduled.Status == corev1.ConditionTrue {
		return &delay{reason: backupv1alpha1.ReasonPodNotStarted, message: fmt.Sprintf(
			"pod %s has no node, and no scheduler has looked at it: look whether kube-scheduler runs", pod.Name)}
	}
	if scheduled.Reason != corev1.PodReasonUnschedulable {
		return &delay{reason: backupv1alpha1.ReasonPodNotStarted, message: fmt.Sprintf(
			"pod %s has no node: %s: %s: look at kubectl -n %s describe pod %s",
			pod.Name, scheduled.Reason, oneLine(scheduled.Message), pod.Namespace, pod.Name)}
	}
	return &delay{reason: backupv1alpha1.ReasonUnschedulable, message: fmt.Sprintf(
		"there is no node for pod %s: %s: make room or mend the volume, or correct nodeSelector, affinity, tolerations or "+
			"resources in spec.job", pod.Name, strings.TrimSuffix(oneLine(scheduled.Message), "."))}
}

// containerWaits is what a container of the pod waits for; nil when it only has its turn after others, or when it says
// nothing.
func containerWaits(pod *corev1.Pod, status *corev1.ContainerStatus, waiting *corev1.ContainerStateWaiting) *delay {
	switch {
	case slices.Contains(imageReasons, waiting.Reason):
		return &delay{reason: backupv1alpha1.ReasonImageNotPulled, message: fmt.Sprintf(
			"the image %s of container %s can't be pulled on node %s: %s: correct its name, load it into the node, or set "+
				"job.imagePullSecrets", cmp.Or(status.Image, containerImage(pod, status.Name)), status.Name, pod.Spec.NodeName,
			oneLine(cmp.Or(waiting.Message, waiting.Reason)))}
	case waiting.Reason != "" && waiting.Message != "":
		return &delay{reason: backupv1alpha1.ReasonPodNotStarted, message: fmt.Sprintf(
			"container %s of pod %s on node %s has not started: %s: %s: look at kubectl -n %s describe pod %s",
			status.Name, pod.Name, pod.Spec.NodeName, waiting.Reason, oneLine(waiting.Message), pod.Namespace, pod.Name)}
	default:
		return nil
	}
}

func containerImage(pod *corev1.Pod, name string) string {
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			if containers[i].Name == name {
				return containers[i].Image
			}
		}
	}
	return ""
}

// nodeLost says whether the node of a pod is lost. A kubelet sets ContainersReady and Ready together; when only Ready is
// False, it was the node controller that set it, because it hasn't heard of the kubelet
// (https://kubernetes.io/docs/reference/node/node-status/#heartbeats). It may also have deleted a pod that never began,
// which then waits for the kubelet to confirm that, until it is overdue.
func nodeLost(pod *corev1.Pod, overdue bool) bool {
	ready, containers := podCondition(pod, corev1.PodReady), podCondition(pod, corev1.ContainersReady)
	if len(pod.Spec.ReadinessGates) == 0 && ready != nil && ready.Status == corev1.ConditionFalse &&
		containers != nil && containers.Status == corev1.ConditionTrue {
		return true
	}
	disrupted := podCondition(pod, corev1.DisruptionTarget)
	return overdue && pod.DeletionTimestamp != nil && disrupted != nil && disrupted.Reason == "DeletionByTaintManager"
}

func nodeLostDelay(pod *corev1.Pod) *delay {
	return &delay{reason: backupv1alpha1.ReasonNodeLost, message: fmt.Sprintf(
		"node %s, which pod %s is on, does not answer: look at kubectl describe node %s; the run ends by itself once the node "+
			"is back; if it is gone for good, kubectl delete node %s, so that later runs can start",
		pod.Spec.NodeName, pod.Name, pod.Spec.NodeName, pod.Spec.NodeName)}
}

func podCondition(pod *corev1.Pod, conditionType corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == conditionType {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// oneLine is a text of others on one line, and of a length that leaves room for what we have to say.
func oneLine(text string) string { return cut(strings.Join(strings.Fields(text), " "), maxEventNote/2) }
