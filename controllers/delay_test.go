// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// grace is how long runs may take to start in these tests.
const grace = 2 * time.Minute

// oneRun is a run whose Job was made at start, and what Kubernetes says of it.
type oneRun struct {
	job  batchv1.Job
	pods []corev1.Pod
	said map[types.UID][]kubeEvent
}

func newRun() *oneRun {
	return &oneRun{
		job: batchv1.Job{ObjectMeta: metav1.ObjectMeta{
			Name: "run-1", Namespace: "orbit", UID: "uid-job", CreationTimestamp: metav1.NewTime(start),
		}},
		said: map[types.UID][]kubeEvent{},
	}
}

// pod adds a pod of such a phase that was made so long after start, on a node unless it is "".
func (r *oneRun) pod(name string, after time.Duration, phase corev1.PodPhase, node string) *corev1.Pod {
	r.pods = append(r.pods, corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "orbit", UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(start.Add(after)),
		},
		Spec:   corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: runnerContainer, Image: "registry/runner:1"}}},
		Status: corev1.PodStatus{Phase: phase},
	})
	pod := &r.pods[len(r.pods)-1]
	if node != "" && phase == corev1.PodPending {
		pod.Status.StartTime = &pod.CreationTimestamp
	}
	return pod
}

func (r *oneRun) waiting(reason, message string) *oneRun {
	r.pod("pod-1", 0, corev1.PodPending, "node-1").Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: runnerContainer, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
	}}
	return r
}

func (r *oneRun) event(uid types.UID, after time.Duration, reason, message string) *oneRun {
	r.said[uid] = append(r.said[uid], kubeEvent{reason: reason, message: oneLine(message), at: start.Add(after)})
	return r
}

// delayAt is the run's delay so long after start.
func (r *oneRun) delayAt(after time.Duration, known *delay) *delay {
	runs := activeRuns([]batchv1.Job{r.job}, map[types.UID][]corev1.Pod{r.job.UID: r.pods})
	return delayOf(runs, r.said, known, grace, start.Add(after))
}

func condition(conditionType corev1.PodConditionType, status corev1.ConditionStatus, reason, message string) corev1.PodCondition {
	return corev1.PodCondition{Type: conditionType, Status: status, Reason: reason, Message: message}
}

func wantDelay(t *testing.T, got *delay, reason string, words ...string) {
	t.Helper()
	if got == nil || got.reason != reason || got.subject != "run-1" {
		t.Fatalf("got %+v, want a delay of run-1 because of %s", got, reason)
	}
	for _, w := range words {
		if !strings.Contains(got.message, w) {
			t.Errorf("message %q does not hold %q", got.message, w)
		}
	}
}

func wantNoDelay(t *testing.T, got *delay) {
	t.Helper()
	if got != nil {
		t.Errorf("got a delay %+v, want none", got)
	}
}

// TestDelays has each cause that is told when the grace is over, and not before.
func TestDelays(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		words        []string
		make         func(*oneRun)
	}{
		{"no node", "Unschedulable", []string{"pod pod-1", "0/3 nodes are available: 3 Insufficient memory: make room", "spec.job"},
			func(r *oneRun) {
				r.pod("pod-1", 0, corev1.PodPending, "").Status.Conditions = []corev1.PodCondition{condition(
					corev1.PodScheduled, "False", "Unschedulable", "0/3 nodes are available: 3 Insufficient memory.")}
			}},
		{"scheduling gate", "PodNotStarted", []string{"SchedulingGated", "waits for a gate"}, func(r *oneRun) {
			r.pod("pod-1", 0, corev1.PodPending, "").Status.Conditions = []corev1.PodCondition{condition(
				corev1.PodScheduled, "False", "SchedulingGated", "waits for a gate")}
		}},
		{"no scheduler", "PodNotStarted", []string{"kube-scheduler"}, func(r *oneRun) { r.pod("pod-1", 0, corev1.PodPending, "") }},
		{"image", "ImageNotPulled", []string{"registry/runner:1", "node-1", "not found", "job.imagePullSecrets"},
			func(r *oneRun) { r.waiting("ImagePullBackOff", "Back-off pulling image: not found") }},
		{"image's name", "ImageNotPulled", []string{"InvalidImageName"}, func(r *oneRun) { r.waiting("InvalidImageName", "") }},
		{"container", "PodNotStarted", []string{"CreateContainerConfigError", `secret "share" not found`, "describe pod pod-1"},
			func(r *oneRun) { r.waiting("CreateContainerConfigError", `secret "share" not found`) }},
		{"image of a dump", "ImageNotPulled", []string{"registry/pg:17", "container dump"}, func(r *oneRun) {
			r.waiting("PodInitializing", "")
			r.pods[0].Status.InitContainerStatuses = []corev1.ContainerStatus{{
				Name: "dump", Image: "registry/pg:17",
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "denied"}},
			}}
		}},
		{"image, beside a sidecar", "ImageNotPulled", []string{"registry/runner:1"}, func(r *oneRun) {
			r.waiting("ImagePullBackOff", "Back-off pulling image: not found")
			r.pods[0].Spec.InitContainers = []corev1.Container{{
				Name: "proxy", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways),
			}}
			r.pods[0].Status.InitContainerStatuses = []corev1.ContainerStatus{{
				Name: "proxy", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
			}}
			if _, err := reducePod(&r.pods[0]); err != nil {
				panic(err)
			}
		}},
		{"dead NFS server", "VolumeNotMounted", []string{"node-1", "nas.example.com:/export", "Connection timed out", "storage answers"},
			func(r *oneRun) {
				r.waiting("ContainerCreating", "").
					event("uid-pod-1", time.Minute, "FailedMount", "MountVolume.SetUp failed for volume \"remote-partition\" :\n"+
						"mount failed: exit status 32\nnas.example.com:/export\nmount.nfs: Connection timed out").
					event("uid-pod-1", 2*time.Minute, "FailedMount", "Unable to attach or mount volumes: timed out waiting for the condition").
					event("uid-pod-1", 2*time.Minute, "Other", "something else")
			}},
		{"in use on another node", "VolumeNotMounted", []string{"Multi-Attach error"}, func(r *oneRun) {
			r.waiting("ContainerCreating", "").event("uid-pod-1", 0, "FailedAttachVolume", "Multi-Attach error for volume")
		}},
		{"no network", "PodNotStarted", []string{"FailedCreatePodSandBox", "no network"}, func(r *oneRun) {
			r.waiting("ContainerCreating", "").event("uid-pod-1", 0, "FailedCreatePodSandBox", "no network")
		}},
		{"refused by Pod Security", "PodRefused", []string{`violates PodSecurity "restricted:latest"`, "job.podSecurityContext"},
			func(r *oneRun) {
				r.event("uid-job", 0, "FailedCreate", `Error creating: pods "run-1-x" is forbidden: violates PodSecurity "restricted:latest": `)
			}},
		{"refused by a quota", "PodRefused", []string{"exceeded quota", "raise the quota"}, func(r *oneRun) {
			r.event("uid-job", 0, "FailedCreate", "Error creating: pods is forbidden: exceeded quota: team")
		}},
		{"refused by a webhook", "PodRefused", []string{"denied the request", "spec.job"}, func(r *oneRun) {
			r.event("uid-job", 0, "FailedCreate", `admission webhook "x" denied the request: no`)
		}},
		{"queued", "PodNotStarted", []string{"suspended", "Kueue"}, func(r *oneRun) { r.job.Spec.Suspend = ptr.To(true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRun()
			c.make(r)
			wantNoDelay(t, r.delayAt(grace-time.Second, nil))
			wantDelay(t, r.delayAt(grace, nil), c.reason, c.words...)
		})
	}
}

// TestWithoutACauseThereIsMoreTime, because Kubernetes needs some to find one.
func TestWithoutACauseThereIsMoreTime(t *testing.T) {
	for _, c := range []struct {
		name, words string
		make        func(*oneRun)
	}{
		{"no pod", "kube-controller-manager", func(*oneRun) {}},
		{"nothing said", "may wait for a volume", func(r *oneRun) { r.waiting("ContainerCreating", "") }},
		{"silent kubelet", "describe node node-1", func(r *oneRun) {
			r.pod("pod-1", 0, corev1.PodPending, "node-1").Status.StartTime = nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRun()
			c.make(r)
			wantNoDelay(t, r.delayAt(2*grace-time.Second, nil))
			wantDelay(t, r.delayAt(2*grace, nil), "PodNotStarted", c.words)
		})
	}
}

// TestRunsThatGoOnAreNotDelayed, however long they take.
func TestRunsThatGoOnAreNotDelayed(t *testing.T) {
	for name, prepare := range map[string]func(*oneRun){
		"running": func(r *oneRun) { r.pod("pod-1", 0, corev1.PodRunning, "node-1") },
		"a long dump": func(r *oneRun) {
			r.waiting("PodInitializing", "")
			r.pods[0].Status.InitContainerStatuses = []corev1.ContainerStatus{{
				Name: "dump", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
			}}
		},
		"between two tries": func(r *oneRun) {
			r.pod("pod-1", 0, corev1.PodFailed, "node-1")
			r.job.Status.Failed = 1
		},
		"ending": func(r *oneRun) {
			r.job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobSuccessCriteriaMet, Status: "True"}}
		},
		"ended": func(r *oneRun) {
			r.job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: "True"}}
		},
		"just resumed by its queue": func(r *oneRun) {
			r.job.Status.StartTime = ptr.To(metav1.NewTime(start.Add(10*time.Hour - time.Second)))
		},
		"evicted once, and running again": func(r *oneRun) {
			r.pod("pod-1", 0, corev1.PodFailed, "node-1").Status.Conditions = []corev1.PodCondition{
				condition(corev1.DisruptionTarget, "True", "TerminationByKubelet", "")}
			r.pod("pod-2", time.Minute, corev1.PodRunning, "node-2")
		},
		"being stopped": func(r *oneRun) {
			pod := r.pod("pod-1", 0, corev1.PodRunning, "node-1")
			pod.DeletionTimestamp = ptr.To(metav1.NewTime(start.Add(10 * time.Hour)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun()
			prepare(r)
			wantNoDelay(t, r.delayAt(10*time.Hour, nil))
		})
	}
}

// TestWhatIsOverIsNoCause: events stay for an hour.
func TestWhatIsOverIsNoCause(t *testing.T) {
	r := newRun().waiting("ContainerCreating", "").event("uid-pod-1", 0, "FailedScheduling", "0/3 nodes are available")
	wantNoDelay(t, r.delayAt(grace, nil))
	wantDelay(t, r.delayAt(2*grace, nil), "PodNotStarted", "does not say why")

	r = newRun().event("uid-job", 0, "FailedCreate", "exceeded quota")
	r.pod("pod-1", time.Minute, corev1.PodFailed, "node-1").Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: runnerContainer, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			FinishedAt: metav1.NewTime(start.Add(time.Hour))}},
	}}
	r.job.Status.Failed = 1
	wantNoDelay(t, r.delayAt(time.Hour+grace, nil))
}

// TestALostNode: only the node controller sets Ready and leaves ContainersReady alone. It is told at once, because the
// node controller has waited long enough.
func TestALostNode(t *testing.T) {
	r := newRun()
	pod := r.pod("pod-1", 0, corev1.PodRunning, "node-1")
	pod.Status.Conditions = []corev1.PodCondition{
		condition(corev1.PodReady, "False", "", ""), condition(corev1.ContainersReady, "True", "", ""),
	}
	wantDelay(t, r.delayAt(time.Minute, nil), "NodeLost", "node node-1", "kubectl delete node node-1")
	// It is the same delay once the pod is to leave that node.
	pod.Status.Conditions = append(pod.Status.Conditions,
		condition(corev1.DisruptionTarget, "True", "DeletionByTaintManager", "Taint manager: deleting"))
	pod.DeletionTimestamp = ptr.To(metav1.NewTime(start.Add(6 * time.Minute)))
	for _, at := range []time.Duration{5 * time.Minute, 7 * time.Minute, time.Hour} {
		wantDelay(t, r.delayAt(at, nil), "NodeLost")
	}
	// The kubelet says of a pod that is ready no more that its containers are not either.
	pod.DeletionTimestamp, pod.Status.Conditions = nil, []corev1.PodCondition{
		condition(corev1.PodReady, "False", "ContainersNotReady", ""), condition(corev1.ContainersReady, "False", "ContainersNotReady", ""),
	}
	wantNoDelay(t, r.delayAt(time.Hour, nil))
}

// TestAPodThatNeverBeganOnALostNode has no conditions to go by, but nobody confirms that it is gone.
func TestAPodThatNeverBeganOnALostNode(t *testing.T) {
	r := newRun()
	pod := r.pod("pod-1", 0, corev1.PodPending, "node-1")
	pod.Status.StartTime = nil
	pod.Status.Conditions = []corev1.PodCondition{condition(corev1.DisruptionTarget, "True", "DeletionByTaintManager", "")}
	pod.DeletionTimestamp = ptr.To(metav1.NewTime(start.Add(6 * time.Minute)))
	wantDelay(t, r.delayAt(6*time.Minute+grace, nil), "NodeLost")
}

func TestAPodThatCannotBeStopped(t *testing.T) {
	r := newRun()
	r.pod("pod-1", 0, corev1.PodRunning, "node-1").DeletionTimestamp = ptr.To(metav1.NewTime(start.Add(time.Minute)))
	r.job.Status.Conditions = []batchv1.JobCondition{{
		Type: batchv1.JobFailureTarget, Status: "True", Reason: "DeadlineExceeded", Message: "longer than specified deadline",
	}}
	wantNoDelay(t, r.delayAt(time.Minute+grace-time.Second, nil))
	wantDelay(t, r.delayAt(time.Minute+grace, nil), "PodNotStopped", "DeadlineExceeded: longer", "delete pod pod-1 --force")
}

func TestEvictions(t *testing.T) {
	evicted := []corev1.PodCondition{condition(corev1.DisruptionTarget, "True", "EvictionByEvictionAPI", "Eviction API: evicting")}
	r := newRun()
	pod := r.pod("pod-1", 0, corev1.PodRunning, "node-1")
	pod.Status.Conditions, pod.DeletionTimestamp = evicted, ptr.To(metav1.NewTime(start.Add(time.Hour)))
	first := r.delayAt(time.Minute, nil)
	wantDelay(t, first, "Evicted", "pod-1", "Eviction API: evicting", "tried again by itself")
	// The pod is gone without a trace, the next one is on its way.
	r.pods = nil
	wantDelay(t, r.delayAt(time.Minute, first), "Evicted", "pod-1")
	wantNoDelay(t, r.delayAt(time.Minute, nil))
	r.pod("pod-2", time.Minute, corev1.PodPending, "node-1")
	wantDelay(t, r.delayAt(time.Minute, first), "Evicted", "pod-1")
	r.pods[0].Status.Phase = corev1.PodRunning
	wantNoDelay(t, r.delayAt(time.Minute, first))
	// What the kubelet evicts stays there. Twice is too often.
	for _, name := range []string{"pod-3", "pod-4"} {
		p := r.pod(name, time.Minute, corev1.PodFailed, "node-1")
		p.Status.Reason, p.Status.Message = "Evicted", "The node was low on resource: memory."
		p.Status.Conditions = evicted
	}
	wantDelay(t, r.delayAt(time.Hour, nil), "Evicted", "low on resource: memory")
	// A pod that used too much is a try that failed.
	r.pods[1].Status.Conditions, r.pods[2].Status.Conditions = nil, nil
	wantNoDelay(t, r.delayAt(time.Hour, nil))
	// The cause for which the next one does not start says more.
	waiting := r.pod("pod-5", time.Hour, corev1.PodPending, "")
	r.pods[0].Status.Phase = corev1.PodFailed
	waiting.Status.Conditions = []corev1.PodCondition{condition(corev1.PodScheduled, "False", "Unschedulable", "no room")}
	wantDelay(t, r.delayAt(time.Hour+grace, nil), "Unschedulable", "no room")
}

// TestACauseStaysUntilTheRunGoesOn, also when the pod is gone that it was told of: it is what the run waited for if the
// Job ends now.
func TestACauseStaysUntilTheRunGoesOn(t *testing.T) {
	r, known := newRun(), &delay{"run-1", "Unschedulable", "no room"}
	r.pod("pod-1", 0, corev1.PodPending, "").DeletionTimestamp = ptr.To(metav1.NewTime(start.Add(time.Hour)))
	wantDelay(t, r.delayAt(time.Hour, known), "Unschedulable", "no room")
	r.pods = nil
	r.job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailureTarget, Status: "True"}}
	wantDelay(t, r.delayAt(time.Hour, known), "Unschedulable", "no room")
	wantNoDelay(t, r.delayAt(time.Hour, &delay{"run-0", "Unschedulable", "no room"}))
	r.pod("pod-2", time.Hour, corev1.PodRunning, "node-1")
	wantNoDelay(t, r.delayAt(time.Hour, known))
}

// TestTheOldestDelayIsTold, and Jobs that were made by hand count as well.
func TestTheOldestDelayIsTold(t *testing.T) {
	first, second := newRun(), newRun()
	second.job.Name, second.job.UID = "run-0", "uid-other"
	second.job.CreationTimestamp = metav1.NewTime(start.Add(time.Minute))
	jobs := []batchv1.Job{second.job, first.job}
	runs := activeRuns(jobs, nil)
	wantDelay(t, delayOf(runs, nil, nil, grace, start.Add(time.Hour)), "PodNotStarted")
	if names := namesOf(runs); len(names) != 2 || names[0] != "run-1" || names[1] != "run-0" {
		t.Errorf("active Jobs %v", names)
	}
}

// TestWhenToLookAgain: when the grace is over, then more and more rarely, and never at what goes on.
func TestWhenToLookAgain(t *testing.T) {
	r := newRun()
	in := func(after time.Duration) time.Duration {
		runs := activeRuns([]batchv1.Job{r.job}, map[types.UID][]corev1.Pod{r.job.UID: r.pods})
		return untilDelayed(runs, grace, start.Add(after))
	}
	for after, want := range map[time.Duration]time.Duration{
		0: grace, time.Minute: time.Minute, grace: time.Minute, 10 * time.Minute: 5 * time.Minute, 24 * time.Hour: maxPause,
	} {
		if got := in(after); got != want {
			t.Errorf("after %s: looks again in %s, want %s", after, got, want)
		}
	}
	r.pod("pod-1", 0, corev1.PodRunning, "node-1")
	if got := in(time.Hour); got != 0 {
		t.Errorf("looks again at what goes on in %s", got)
	}
	if got := []time.Duration{sooner(0, 0), sooner(0, 2), sooner(3, 0), sooner(3, 2)}; got[0] != 0 || got[1] != 2 || got[2] != 3 || got[3] != 2 {
		t.Errorf("sooner: %v", got)
	}
}
