// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/report"
)

const (
	// jobVariable and jobUIDVariable are the environment variables that tell the runner which Job it is of, so that a
	// second try of the same Job goes on from what the first one has finished. The name alone would not do: people make
	// Jobs by hand under a name that they have used before.
	jobVariable    = "BACKUP_JOB"
	jobUIDVariable = "BACKUP_JOB_UID"
	// gracePeriod is how many seconds a run has to remove what is half done when it is told to stop.
	gracePeriod = 60
	// reportReserve is how long before its deadline a run that waits for another one gives up.
	reportReserve = 5 * time.Minute
	// maxDeadline is the longest deadline in seconds that a duration can hold.
	maxDeadline = int64(math.MaxInt64 / time.Second)
)

// podSpec is the pod of a run. It has no Kubernetes credentials: it reports by its termination message.
func podSpec(policy *backupv1alpha1.BackupPolicy, claims map[string]claim, options Options) corev1.PodSpec {
	job := jobTemplate(&policy.Spec)
	volumes, mounts := podVolumes(policy, claims)
	podSecurity := podSecurityContext(job.PodSecurityContext, seLinuxOptions(&policy.Spec, claims))
	held := heldClaims(&policy.Spec, claims)
	return corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		AutomountServiceAccountToken:  ptr.To(false),
		EnableServiceLinks:            ptr.To(false),
		TerminationGracePeriodSeconds: ptr.To[int64](gracePeriod),
		SecurityContext:               podSecurity,
		NodeSelector:                  job.NodeSelector,
		Tolerations:                   tolerations(job.Tolerations, held),
		Affinity:                      affinity(job.Affinity, held),
		PriorityClassName:             job.PriorityClassName,
		ImagePullSecrets:              job.ImagePullSecrets,
		InitContainers:                job.InitContainers,
		Volumes:                       volumes,
		Containers: []corev1.Container{{
			Name:  runnerContainer,
			Image: options.RunnerImage,
			Args:  runnerArgs(policy),
			Env: []corev1.EnvVar{
				fromLabel(jobVariable, batchv1.JobNameLabel), fromLabel(jobUIDVariable, batchv1.ControllerUidLabel),
			},
			Resources:                resources(job.Resources),
			VolumeMounts:             mounts,
			SecurityContext:          containerSecurityContext(job.SecurityContext, podSecurity),
			TerminationMessagePath:   corev1.TerminationMessagePathDefault,
			TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		}},
	}
}

// runnerArgs is the runner's command line.
func runnerArgs(policy *backupv1alpha1.BackupPolicy) []string {
	spec := &policy.Spec
	args := []string{
		"backup",
		"--policy=" + policy.Namespace + "/" + policy.Name,
		"--run=$(" + jobVariable + ")/$(" + jobUIDVariable + ")",
		"--directory=" + literal(backupDirectory(spec)),
		"--prefix=" + filenamePrefix(policy),
		"--keep=" + strconv.Itoa(int(spec.TotalBackups)),
	}
	if synchronizes(spec) {
		args = append(args, "--rsync-directory="+literal(rsyncDirectory(spec)))
	}
	if spec.AcceptChange != "" {
		args = append(args, "--accept-change="+spec.AcceptChange)
	}
	for _, volume := range enabledVolumes(spec) {
		args = append(args, fmt.Sprintf("--source=%s=%s", volume.Name, path.Join(sourcesPath, volume.Name)))
		for _, pattern := range volume.Exclude {
			args = append(args, fmt.Sprintf("--exclude=%s=%s", volume.Name, literal(pattern)))
		}
	}
	args = append(args,
		"--lock-timeout="+lockTimeout(spec).String(), "--termination-log="+corev1.TerminationMessagePathDefault)
	if limit := reportLimit(spec); limit < report.MaxBytes {
		args = append(args, "--termination-log-limit="+strconv.Itoa(limit))
	}
	return args
}

// reportLimit is how many bytes the kubelet leaves of the runner's report: it shares a fixed number between all containers
// of a pod and cuts off the rest, from
// https://github.com/kubernetes/kubernetes/blob/v1.37.0/pkg/kubelet/status/status_manager.go. Others may add containers to
// the pod, a service mesh for example.
func reportLimit(spec *backupv1alpha1.BackupPolicySpec) int {
	const forAll, ofOthers = 12 * 1024, 2
	return min(forAll/(1+len(jobTemplate(spec).InitContainers)+ofOthers), report.MaxBytes)
}

// lockTimeout is how long a run waits for another one: Kubernetes doesn't count Jobs that the CronJob hasn't started, such
// as those of runNow, so a scheduled run may meet one. It is all the time that the run has, but for what it takes to report
// before its deadline.
func lockTimeout(spec *backupv1alpha1.BackupPolicySpec) time.Duration {
	seconds := min(ptr.Deref(jobTemplate(spec).ActiveDeadlineSeconds, activeDeadline), maxDeadline)
	deadline := time.Duration(seconds) * time.Second
	return deadline - min(deadline/4, reportReserve)
}

// literal keeps Kubernetes from taking $(NAME) in an argument for a variable, from
// https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/.
func literal(arg string) string { return strings.ReplaceAll(arg, "$", "$$") }

// fromLabel is an environment variable with the value of a label that the Job controller sets on its pods.
func fromLabel(name, label string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{
		APIVersion: "v1", FieldPath: "metadata.labels['" + label + "']",
	}}}
}

// resources are the user's, or requests that let the scheduler know of the runner at all.
func resources(custom *corev1.ResourceRequirements) corev1.ResourceRequirements {
	if custom != nil {
		return *custom
	}
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("100m"),
		corev1.ResourceMemory: resource.MustParse("128Mi"),
	}}
}

// podSecurityContext is the user's, or root: a backup has to read files of whatever owner. The SELinux options are the
// user's, or those given.
func podSecurityContext(custom *corev1.PodSecurityContext, seLinux *corev1.SELinuxOptions) *corev1.PodSecurityContext {
	c := &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](0), RunAsGroup: ptr.To[int64](0)}
	if custom != nil {
		c = custom.DeepCopy()
	}
	if c.SELinuxOptions == nil {
		c.SELinuxOptions = seLinux
	}
	if c.SeccompProfile == nil {
		c.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	}
	return c
}

// seLinuxOptions are those of the appliance, taken from the first source that a pod with such options holds: its files
// bear them, and other pods may not read them. Nil if there are none.
func seLinuxOptions(spec *backupv1alpha1.BackupPolicySpec, claims map[string]claim) *corev1.SELinuxOptions {
	for _, volume := range enabledVolumes(spec) {
		if volume.PersistentVolumeClaim == nil {
			continue
		}
		for _, pod := range claims[volume.PersistentVolumeClaim.ClaimName].holders {
			if pod.SELinuxOptions != nil {
				return pod.SELinuxOptions
			}
		}
	}
	return nil
}

// containerSecurityContext is the user's, or one without any privilege but this: root may read and write files of
// whatever owner. DAC_READ_SEARCH would do for reading, but the Pod Security Standard "baseline" doesn't allow it.
func containerSecurityContext(custom *corev1.SecurityContext, pod *corev1.PodSecurityContext) *corev1.SecurityContext {
	if custom != nil {
		return custom
	}
	c := &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false),
		ReadOnlyRootFilesystem:   ptr.To(true),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	if pod.RunAsUser != nil && *pod.RunAsUser == 0 {
		c.Capabilities.Add = []corev1.Capability{"DAC_OVERRIDE"}
	}
	return c
}
