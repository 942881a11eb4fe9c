// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// TestALostNode is not parallel to the others: a node is lost for all. Its kubelet is stopped, as it is when a machine
// hangs, and goes on again.
func TestALostNode(t *testing.T) {
	a := newAppliance(t)
	node := otherNode(t)
	// The run waits for the directory's lock.
	a.write("", "backups", "daily", ".appliance.lock")
	lock, err := os.Open(a.path("backups", "daily", ".appliance.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	p := a.apply("appliance", func(s *spec) {
		s.Job = &backupv1alpha1.JobTemplate{
			NodeSelector: map[string]string{corev1.LabelHostname: node},
			Tolerations:  []corev1.Toleration{{Key: reservedTaint, Operator: corev1.TolerationOpExists}},
		}
	})
	job := p.start()
	p.pod(job, isReady)
	signalKubelet(t, node, "STOP")
	t.Cleanup(func() { signalKubelet(t, node, "CONT") })
	p.waitDelayed("NodeLost", job, "node "+node, "does not answer")
	p.waitEvent("NodeLost")
	signalKubelet(t, node, "CONT")
	p.waitNotDelayed()
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if run := p.waitEnded(job); run.Outcome != backupv1alpha1.OutcomeSucceeded {
		t.Errorf("%+v", run)
	}
	// The tests that follow need it.
	kubectl(t, "wait", "--for=condition=Ready", "node/"+node, "--timeout="+patience.String())
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// otherNode is a node of the cluster that can run anything, and not the operator's if one can be spared: what runs on a
// node goes on without its kubelet, but would be called not ready.
func otherNode(t *testing.T) string {
	t.Helper()
	operators := kubectl(t, "get", "pods", "--all-namespaces", "--selector=app.kubernetes.io/name=backup-operator",
		"-o=jsonpath={.items[*].spec.nodeName}")
	other := ""
	for _, node := range strings.Fields(kubectl(t, "get", "nodes", "-o=jsonpath={.items[*].metadata.name}")) {
		if node != os.Getenv("REMOTE_NODE_NAME") && (other == "" || !strings.Contains(operators, node)) {
			other = node
		}
	}
	return other
}

// signalKubelet stops a node's kubelet as it stands, or lets it go on.
func signalKubelet(t *testing.T, node, signal string) {
	t.Helper()
	out, err := exec.CommandContext(contextWithoutTest(), "../../hack/cluster/exec.sh", "--name", os.Getenv("CLUSTER_NAME"),
		"--node", node, "pkill", "--signal", signal, "--exact", "kubelet").CombinedOutput()
	if err != nil {
		t.Fatalf("signal %s to the kubelet of %s: %v\n%s", signal, node, err, out)
	}
}
