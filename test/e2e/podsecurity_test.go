// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/treetest"
)

// TestARestrictedNamespace has the backups run as the appliance's own user, from and to claims, mirror and all. That
// defaults do in a namespace that enforces "baseline" is what nearly every other test here shows.
func TestARestrictedNamespace(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	p := a.applyRestricted(1000)
	made := p.mustRun().Archive
	p.wantCondition(t, "Synchronized", "True", "Succeeded")
	wantSame(t, "the mirror", []string{made}, archivesIn(t, a.path("remote", "mirror"), "appliance"))
	restored := restore(t, only(t, a.path("backups", "daily"), "appliance"))
	for _, volume := range []string{"data", "logs", "config", "sessions"} {
		treetest.AssertEqual(t, a.path(volume), filepath.Join(restored, volume))
	}
}

// TestAVolumeShellInARestrictedNamespace follows docs/volume-shell.md where backups run as the user of its example.
func TestAVolumeShellInARestrictedNamespace(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	made := a.applyRestricted(65532).mustRun().Archive
	pipe(t, volumeShell(t), "kubectl", "-n", a.namespace, "apply", "-f", "-")
	kubectl(t, "-n", a.namespace, "wait", "--for=condition=Ready", "--timeout="+patience.String(), "pod/volume-shell")
	shell := func(args ...string) string {
		return kubectl(t, append([]string{"-n", a.namespace, "exec", "volume-shell", "--"}, args...)...)
	}
	if listed := shell("backup-operator", "list", "--directory", "/storage/daily"); !strings.Contains(listed, made) {
		t.Errorf("%s is not listed:\n%s", made, listed)
	}
	shell("rm", "/storage/daily/"+made, "/storage/daily/"+made+".sha256")
	if left := archivesIn(t, a.path("backups", "daily"), "appliance"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// volumeShell is the pod of docs/volume-shell.md for a policy that has a podSecurityContext.
func volumeShell(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(repository, "docs/volume-shell.md"))
	if err != nil {
		t.Fatal(err)
	}
	match := manifestName.FindStringSubmatch(string(page))
	if match == nil {
		t.Fatal("the page has no manifest")
	}
	manifest := match[2]
	for _, change := range [][2]string{
		{"  securityContext: {runAsUser: 0, runAsGroup: 0}\n", ""},
		{"  # securityContext: {runAsNonRoot", "  securityContext: {runAsNonRoot"},
		{"registry.example.com/backup-operator:v0.1.0", runnerImage(t)},
		{"claimName: appliance-backups", "claimName: backups"},
	} {
		if strings.Count(manifest, change[0]) != 1 {
			t.Fatalf("the page's manifest does not have %q once", change[0])
		}
		manifest = strings.Replace(manifest, change[0], change[1], 1)
	}
	return manifest
}

// applyRestricted has the namespace enforce the level "restricted", and makes a policy whose backups run as a user that
// owns all of the appliance's files.
func (a *appliance) applyRestricted(user int64) *policy {
	a.t.Helper()
	command(a.t, "chown", "-R", fmt.Sprintf("%d:%d", user, user), a.dir)
	a.enforce("restricted")
	return a.apply("appliance", func(s *spec) {
		s.Job = &backupv1alpha1.JobTemplate{PodSecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To(user), RunAsGroup: ptr.To(user), FSGroup: ptr.To(user),
		}}
	})
}

// TestHostPathIsNotAllowed without the flag, whatever the namespace enforces.
func TestHostPathIsNotAllowed(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	a.enforce("privileged")
	p := a.applyHostPath()
	eventually(t, func() error {
		ready := meta.FindStatusCondition(p.get().Status.Conditions, "Ready")
		if ready == nil || ready.Reason != "HostPathNotAllowed" || !strings.Contains(ready.Message, "volume data") ||
			!strings.Contains(ready.Message, "--allow-host-path") {
			return fmt.Errorf("Ready is %+v", ready)
		}
		return nil
	})
	if cronJobs := kubectl(t, "-n", a.namespace, "get", "cronjobs", "-o=name"); cronJobs != "" {
		t.Errorf("there is a CronJob all the same: %s", cronJobs)
	}
}

// TestHostPathIsAllowed by the flag, and Pod Security has its own word on it. It is not parallel to the others, because
// the flag is the operator's.
func TestHostPathIsAllowed(t *testing.T) {
	a := newAppliance(t)
	changeOperator(t, `[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--allow-host-path"}]`)
	t.Cleanup(func() {
		args := strings.Fields(operatorArgs(t))
		changeOperator(t, fmt.Sprintf(`[{"op":"remove","path":"/spec/template/spec/containers/0/args/%d"}]`, len(args)-1))
	})
	p := a.applyHostPath()
	p.waitInForce()
	job := p.start()
	p.waitDelayed("PodRefused", job, `violates PodSecurity "baseline:latest"`, "hostPath")
	a.enforce("privileged")
	if run := p.waitEnded(job); run.Outcome != backupv1alpha1.OutcomeSucceeded {
		t.Errorf("%+v", run)
	}
	only(t, a.path("backups", "daily"), "appliance")
}

// applyHostPath makes a policy that backs up a directory of the node.
func (a *appliance) applyHostPath() *policy {
	a.t.Helper()
	p := &policy{appliance: a, name: "appliance"}
	p.create(func(s *spec) {
		s.ApplicationBackup.Volumes[0] = backupv1alpha1.SourceVolume{
			Name: "data", HostPath: &corev1.HostPathVolumeSource{Path: a.path("data")},
		}
	})
	return p
}

// enforce has the namespace enforce another level of the Pod Security Standards.
func (a *appliance) enforce(level string) {
	a.t.Helper()
	kubectl(a.t, "label", "--overwrite", "namespace", a.namespace, "pod-security.kubernetes.io/enforce="+level)
}

// operator is where the operator is.
func operator(t *testing.T) (namespace, name string) {
	t.Helper()
	found := kubectlIn(contextWithoutTest(), t, "get", "deployments", "--all-namespaces",
		"--selector=app.kubernetes.io/name=backup-operator", "-o=jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{end}")
	namespace, name, ok := strings.Cut(strings.TrimSpace(found), " ")
	if !ok {
		t.Fatalf("there is not one operator: %q", found)
	}
	return namespace, name
}

// operatorArgs are the operator's arguments.
func operatorArgs(t *testing.T) string {
	t.Helper()
	namespace, name := operator(t)
	return kubectlIn(contextWithoutTest(), t, "-n", namespace, "get", "deployment", name,
		"-o=jsonpath={range .spec.template.spec.containers[0].args[*]}{@} {end}")
}

// changeOperator changes the operator's Deployment and waits until it is rolled out.
func changeOperator(t *testing.T, patch string) {
	t.Helper()
	ctx := contextWithoutTest()
	namespace, name := operator(t)
	kubectlIn(ctx, t, "-n", namespace, "patch", "deployment", name, "--type=json", "--patch="+patch)
	kubectlIn(ctx, t, "-n", namespace, "rollout", "status", "deployment", name, "--timeout="+patience.String())
}
