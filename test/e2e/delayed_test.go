// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// start starts a run now, as an administrator does, and returns its Job's name.
func (p *policy) start() string {
	p.t.Helper()
	p.runs++
	job := fmt.Sprintf("%s-by-hand-%d", p.name, p.runs)
	kubectl(p.t, "-n", p.namespace, "create", "job", "--from=cronjob/"+p.name+"-backup", job)
	return job
}

// waitEnded waits until the status tells how a run ended.
func (p *policy) waitEnded(job string) *backupv1alpha1.Run {
	p.t.Helper()
	return p.waitRun(func(run *backupv1alpha1.Run) bool { return run.Job == job })
}

// waitDelayed waits until the condition Delayed has such a reason and words, and wants kubectl describe to tell so.
func (p *policy) waitDelayed(reason string, words ...string) {
	p.t.Helper()
	eventually(p.t, func() error {
		d := meta.FindStatusCondition(p.get().Status.Conditions, "Delayed")
		if d == nil || d.Reason != reason {
			return fmt.Errorf("Delayed is %+v, want %s", d, reason)
		}
		for _, w := range words {
			if !strings.Contains(d.Message, w) {
				return fmt.Errorf("Delayed says %q, which does not hold %q", d.Message, w)
			}
		}
		described := kubectl(p.t, "-n", p.namespace, "describe", "bp", p.name)
		if !strings.Contains(described, d.Message) || strings.Count(described, reason) < 2 {
			return fmt.Errorf("kubectl describe does not tell of %s as a condition and as an event:\n%s", reason, described)
		}
		return nil
	})
}

// waitNotDelayed waits until no run is delayed any more.
func (p *policy) waitNotDelayed() {
	p.t.Helper()
	eventually(p.t, func() error {
		if d := meta.FindStatusCondition(p.get().Status.Conditions, "Delayed"); d != nil {
			return fmt.Errorf("still delayed: %+v", d)
		}
		return nil
	})
}

// waitEvent waits for an event of the policy with such a reason, and wants it to be one and not a stream.
func (p *policy) waitEvent(reason string) {
	p.t.Helper()
	eventually(p.t, func() error {
		var all eventsv1.EventList
		if err := cluster.List(p.t.Context(), &all, client.InNamespace(p.namespace)); err != nil {
			return err
		}
		count := 0
		for _, e := range all.Items {
			if e.Regarding.Kind == "BackupPolicy" && e.Regarding.Name == p.name && e.Reason == reason {
				count++
				if e.Series != nil {
					p.t.Errorf("the event %s came %d times", reason, e.Series.Count)
				}
			}
		}
		if count > 1 {
			p.t.Errorf("%d events %s", count, reason)
		}
		if count == 0 {
			return fmt.Errorf("no event %s", reason)
		}
		return nil
	})
}

// pod waits for the one pod of a run that has not ended and fulfils a condition.
func (p *policy) pod(job string, wanted func(*corev1.Pod) bool) *corev1.Pod {
	p.t.Helper()
	var found *corev1.Pod
	eventually(p.t, func() error {
		var pods corev1.PodList
		err := cluster.List(p.t.Context(), &pods, client.InNamespace(p.namespace), client.MatchingLabels{"batch.kubernetes.io/job-name": job})
		if err != nil {
			return err
		}
		for i := range pods.Items {
			if pods.Items[i].DeletionTimestamp == nil && wanted(&pods.Items[i]) {
				found = &pods.Items[i]
				return nil
			}
		}
		return errors.New("no such pod of " + job)
	})
	return found
}

// initRuns says whether a pod's first init container runs.
func initRuns(pod *corev1.Pod) bool {
	statuses := pod.Status.InitContainerStatuses
	return len(statuses) > 0 && statuses[0].State.Running != nil
}

// dump has runs begin with such a shell script in an init container that sees the appliance's data and a scratch volume.
func dump(t *testing.T, s *spec, script string) *corev1.Container {
	t.Helper()
	s.ApplicationBackup.Volumes = append(s.ApplicationBackup.Volumes,
		backupv1alpha1.SourceVolume{Name: "dump", EmptyDir: &corev1.EmptyDirVolumeSource{}})
	if s.Job == nil {
		s.Job = &backupv1alpha1.JobTemplate{}
	}
	s.Job.InitContainers = []corev1.Container{{
		Name: "dump", Image: runnerImage(t), Command: []string{"sh", "-c", script},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "dump", MountPath: "/dump"}, {Name: "data", MountPath: "/data", ReadOnly: true},
		},
	}}
	return &s.Job.InitContainers[0]
}
