// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package charts tests that the Helm chart and kustomize install the same operator, and that each value of the chart
// does what values.yaml says. Nothing is installed here: that is for the end-to-end tests.
package charts

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	crd        = "CustomResourceDefinition backuppolicies.backup.appliance.io"
	deployment = "Deployment backup-operator-system/backup-operator"
)

// container returns the operator's container.
func container(t *testing.T, rendered objects) map[string]any {
	t.Helper()
	containers := at[[]any](t, rendered.get(t, deployment), "spec", "template", "spec", "containers")
	if len(containers) != 1 {
		t.Fatalf("the operator's pod has %d containers, want 1", len(containers))
	}
	return containers[0].(map[string]any)
}

func arguments(t *testing.T, rendered objects) []string {
	t.Helper()
	var args []string
	for _, arg := range at[[]any](t, container(t, rendered), "args") {
		args = append(args, arg.(string))
	}
	return args
}

func TestChartAndKustomizeInstallTheSame(t *testing.T) {
	want := kustomization(t, "../config/default")
	for _, optional := range []string{"../config/prometheus", "../config/grafana", "../config/network-policy"} {
		for key, object := range kustomization(t, optional) {
			want[key] = object
		}
	}
	delete(want, "Namespace backup-operator-system") // `helm install --create-namespace` makes it
	got := chart(t, "--set", "image.tag=dev,networkPolicy.enabled=true", "--set", "metrics.serviceMonitor.enabled=true,"+
		"metrics.prometheusRule.enabled=true,metrics.dashboard.enabled=true")

	if diff := cmp.Diff(want.names(), got.names()); diff != "" {
		t.Fatalf("the chart (+) and kustomize (-) install different objects:\n%s", diff)
	}
	for key := range want {
		if diff := cmp.Diff(plain(want[key]), plain(got[key])); diff != "" {
			t.Errorf("the chart (+) and kustomize (-) differ in %s:\n%s", key, diff)
		}
	}
}

func TestChartAndKustomizeInstallTheSameTwoReplicas(t *testing.T) {
	want := kustomization(t, "../config/high-availability")
	const budget = "PodDisruptionBudget backup-operator-system/backup-operator"
	got := chart(t, "--set", "image.tag=dev,replicas=2")
	for _, key := range []string{deployment, budget} {
		if diff := cmp.Diff(plain(want.get(t, key)), plain(got.get(t, key))); diff != "" {
			t.Errorf("the chart (+) and kustomize (-) differ in %s:\n%s", key, diff)
		}
	}
	if _, ok := chart(t, "--set", "replicas=2,podDisruptionBudget.enabled=false")[budget]; ok {
		t.Error("podDisruptionBudget.enabled=false leaves the PodDisruptionBudget there")
	}
}

func TestNamespaceOfKustomizeIsRestricted(t *testing.T) {
	namespace := kustomization(t, "../config/default").get(t, "Namespace backup-operator-system")
	labels := at[map[string]any](t, namespace, "metadata", "labels")
	if got := labels["pod-security.kubernetes.io/enforce"]; got != "restricted" {
		t.Errorf("pod security is %v, want restricted", got)
	}
}

func TestOperatorMayNotReadSecrets(t *testing.T) {
	for key, object := range kustomization(t, "../config/default") {
		if !strings.Contains(key, "Role ") || strings.Contains(key, "backuppolicy-") {
			continue
		}
		for _, rule := range at[[]any](t, object, "rules") {
			resources, _ := rule.(map[string]any)["resources"].([]any)
			if slices.Contains(resources, "secrets") || slices.Contains(resources, "*") {
				t.Errorf("%s lets the operator read secrets: %v", key, rule)
			}
		}
	}
}

// As config/components/runner-image says that an overlay has it.
func TestRunnerImageFollowsTheImageOfAnOverlay(t *testing.T) {
	const image = "registry.example.com/backup-operator:v1"
	overlay := t.TempDir()
	config, err := filepath.Abs("../config")
	if err != nil {
		t.Fatal(err)
	}
	// A kustomization may name other directories only relative to itself.
	if config, err = filepath.Rel(overlay, config); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(overlay, "kustomization.yaml"), fmt.Sprintf(`
resources: [%[1]s/default]
components: [image, %[1]s/components/runner-image]
`, config))
	write(t, filepath.Join(overlay, "image", "kustomization.yaml"), `
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
images:
- {name: localhost/appliance-backup-operator, newName: registry.example.com/backup-operator, newTag: v1}
`)
	operator := container(t, kustomization(t, overlay))
	if got := operator["image"]; got != image {
		t.Errorf("image of the operator: %v, want %s", got, image)
	}
	if got := at[string](t, operator, "env", 0, "value"); got != image {
		t.Errorf("RUNNER_IMAGE: %v, want %s", got, image)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCRDStaysWhenTheReleaseGoes(t *testing.T) {
	const policy = "helm.sh/resource-policy"
	kept := at[map[string]any](t, chart(t).get(t, crd), "metadata", "annotations")
	if kept[policy] != "keep" {
		t.Errorf("%s by default: %v, want keep", policy, kept[policy])
	}
	deleted := at[map[string]any](t, chart(t, "--set", "crds.keep=false").get(t, crd), "metadata", "annotations")
	if _, ok := deleted[policy]; ok {
		t.Errorf("crds.keep=false: %s is still there", policy)
	}
}

func TestWatchNamespaces(t *testing.T) {
	everywhere := chart(t)
	rules := everywhere.get(t, "ClusterRole backup-operator")["rules"]
	got := chart(t, "--set", "watchNamespaces={orbit,aurora}")

	for _, absent := range []string{"ClusterRole backup-operator", "ClusterRoleBinding backup-operator"} {
		if _, ok := got[absent]; ok {
			t.Errorf("%s still gives rights in all namespaces", absent)
		}
	}
	for _, namespace := range []string{"orbit", "aurora"} {
		role := got.get(t, "Role "+namespace+"/backup-operator")
		if diff := cmp.Diff(rules, role["rules"]); diff != "" {
			t.Errorf("rules in %s differ from those of the ClusterRole (-):\n%s", namespace, diff)
		}
		binding := got.get(t, "RoleBinding "+namespace+"/backup-operator")
		if subject := at[string](t, binding, "subjects", 0, "namespace"); subject != "backup-operator-system" {
			t.Errorf("the binding in %s is for a service account of %s", namespace, subject)
		}
	}
	if args := arguments(t, got); !slices.Contains(args, "--watch-namespaces=orbit,aurora") {
		t.Errorf("the operator is not told the namespaces: %v", args)
	}
}

func TestEveryFlagOfTheChartIsTheOperators(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "backup-operator")
	run(t, "go", "build", "-o", binary, "..")
	help := run(t, binary, "operator", "--help")
	for _, values := range []string{"everything", "namespaces", "minimal"} {
		for _, arg := range arguments(t, allNames(chart(t, "--values", "backup-operator/ci/"+values+"-values.yaml")))[1:] {
			flag, _, _ := strings.Cut(arg, "=")
			if !strings.Contains(help, flag+" ") {
				t.Errorf("the operator has no flag %s", flag)
			}
		}
	}
}

// allNames gives the one Deployment its usual name, whatever the release calls it.
func allNames(rendered objects) objects {
	for key, object := range rendered {
		if object["kind"] == "Deployment" {
			delete(rendered, key)
			rendered[deployment] = object
		}
	}
	return rendered
}
