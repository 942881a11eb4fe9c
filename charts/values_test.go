// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package charts

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestValues(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	pod := []any{"spec", "template", "spec"}
	image := append(slices.Clone(pod), "containers", 0, "image")
	runner := append(slices.Clone(pod), "containers", 0, "env", 0, "value")
	for _, test := range []struct {
		set    string
		object string
		path   []any
		want   any
	}{
		{"replicas=3", deployment, []any{"spec", "replicas"}, 3.0},
		{"image.repository=example.com/b,image.tag=v2", deployment, image, "example.com/b:v2"},
		{"image.repository=example.com/b,image.tag=v2", deployment, runner, "example.com/b:v2"},
		{"image.tag=v2,image.digest=" + digest, deployment, image, "localhost/appliance-backup-operator@" + digest},
		{"runner.image=example.com/near:v2", deployment, runner, "example.com/near:v2"},
		{"runner.image=example.com/near:v2,image.tag=v1", deployment, image, "localhost/appliance-backup-operator:v1"},
		{"image.pullPolicy=Never", deployment, append(slices.Clone(pod), "containers", 0, "imagePullPolicy"), "Never"},
		{"imagePullSecrets[0].name=pull", deployment, append(slices.Clone(pod), "imagePullSecrets", 0, "name"), "pull"},
		{"resources.limits.memory=1Gi", deployment,
			append(slices.Clone(pod), "containers", 0, "resources", "limits", "memory"), "1Gi"},
		{"nodeSelector.disk=ssd", deployment, append(slices.Clone(pod), "nodeSelector", "disk"), "ssd"},
		{"tolerations[0].operator=Exists", deployment, append(slices.Clone(pod), "tolerations", 0, "operator"), "Exists"},
		{"affinity.podAffinity.x=y", deployment, append(slices.Clone(pod), "affinity", "podAffinity", "x"), "y"},
		{"topologySpreadConstraints[0].topologyKey=zone", deployment,
			append(slices.Clone(pod), "topologySpreadConstraints", 0, "topologyKey"), "zone"},
		{"priorityClassName=high", deployment, append(slices.Clone(pod), "priorityClassName"), "high"},
		{"podAnnotations.team=storage", deployment, []any{"spec", "template", "metadata", "annotations", "team"}, "storage"},
		{"podLabels.tier=infra", deployment, []any{"spec", "template", "metadata", "labels", "tier"}, "infra"},
		{"serviceAccount.annotations.owner=me", "ServiceAccount backup-operator-system/backup-operator",
			[]any{"metadata", "annotations", "owner"}, "me"},
		{"serviceAccount.create=false,serviceAccount.name=mine", "ClusterRoleBinding backup-operator",
			[]any{"subjects", 0, "name"}, "mine"},
		{"serviceAccount.create=false", deployment, append(slices.Clone(pod), "serviceAccountName"), "default"},
		{"podDisruptionBudget.enabled=true", "PodDisruptionBudget backup-operator-system/backup-operator",
			[]any{"spec", "minAvailable"}, 1.0},
		{"replicas=2", "PodDisruptionBudget backup-operator-system/backup-operator", []any{"spec", "minAvailable"}, 1.0},
		{"replicas=2", deployment, append(slices.Clone(pod), "topologySpreadConstraints", 0, "whenUnsatisfiable"), "ScheduleAnyway"},
		{"metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.interval=45s",
			"ServiceMonitor backup-operator-system/backup-operator", []any{"spec", "endpoints", 0, "interval"}, "45s"},
		{"metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.labels.release=p",
			"ServiceMonitor backup-operator-system/backup-operator", []any{"metadata", "labels", "release"}, "p"},
		{"metrics.prometheusRule.enabled=true,metrics.prometheusRule.labels.release=p",
			"PrometheusRule backup-operator-system/backup-operator", []any{"metadata", "labels", "release"}, "p"},
		{"metrics.prometheusRule.enabled=true,metrics.prometheusRule.runbookPrefix=https://git.example.com/b/",
			"PrometheusRule backup-operator-system/backup-operator",
			[]any{"spec", "groups", 0, "rules", 0, "annotations", "runbook_url"},
			"https://git.example.com/b/docs/runbooks/BackupMissed.md"},
		{"metrics.dashboard.enabled=true,metrics.dashboard.labels.find=me",
			"ConfigMap backup-operator-system/backup-operator-dashboard", []any{"metadata", "labels", "find"}, "me"},
		{"metrics.dashboard.enabled=true,metrics.dashboard.annotations.grafana_folder=Backups",
			"ConfigMap backup-operator-system/backup-operator-dashboard",
			[]any{"metadata", "annotations", "grafana_folder"}, "Backups"},
		{"fullnameOverride=store", "Deployment backup-operator-system/store", []any{"metadata", "name"}, "store"},
		{"nameOverride=store", "Deployment backup-operator-system/backup-operator-store", []any{"kind"}, "Deployment"},
	} {
		t.Run(test.set, func(t *testing.T) {
			got := at[any](t, chart(t, "--set", test.set).get(t, test.object), test.path...)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%v of %s (-want +got):\n%s", test.path, test.object, diff)
			}
		})
	}
}

func TestValuesThatChangeTheArguments(t *testing.T) {
	usual := []string{"operator", "--leader-elect", "--metrics-bind-address=:8443", "--health-probe-bind-address=:8081"}
	for _, test := range []struct {
		set  string
		want []string
	}{
		{"replicas=1", usual},
		{"leaderElection.enabled=false", slices.Delete(slices.Clone(usual), 1, 2)},
		// As with helm upgrade --reuse-values, of a release of before this value.
		{"leaderElection.leaseDuration=null", usual},
		{"leaderElection.leaseDuration=1m", slices.Insert(slices.Clone(usual), 2, "--leader-elect-lease-duration=1m")},
		{"metrics.enabled=false", slices.Replace(slices.Clone(usual), 2, 3, "--metrics-bind-address=0")},
		{"allowHostPath=true", append(slices.Clone(usual), "--allow-host-path")},
		{"startGrace=1m30s", append(slices.Clone(usual), "--start-grace=1m30s")},
		{"logging.level=debug", append(slices.Clone(usual), "--log-level=debug")},
	} {
		t.Run(test.set, func(t *testing.T) {
			if diff := cmp.Diff(test.want, arguments(t, chart(t, "--set", test.set))); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValuesThatLeaveObjectsOut(t *testing.T) {
	all := chart(t)
	for _, test := range []struct {
		set  string
		gone []string
	}{
		{"crds.install=false", []string{crd}},
		{"serviceAccount.create=false", []string{"ServiceAccount backup-operator-system/backup-operator"}},
		{"leaderElection.enabled=false", []string{
			"Role backup-operator-system/backup-operator-leader-election",
			"RoleBinding backup-operator-system/backup-operator-leader-election"}},
		{"metrics.enabled=false,metrics.serviceMonitor.enabled=true,metrics.prometheusRule.enabled=true," +
			"metrics.dashboard.enabled=true", []string{
			"ClusterRole backup-operator-metrics-auth", "ClusterRole backup-operator-metrics-reader",
			"ClusterRoleBinding backup-operator-metrics-auth", "Service backup-operator-system/backup-operator-metrics"}},
	} {
		t.Run(test.set, func(t *testing.T) {
			var gone []string
			without := chart(t, "--set", test.set)
			for _, name := range all.names() {
				if _, ok := without[name]; !ok {
					gone = append(gone, name)
				}
			}
			if diff := cmp.Diff(test.gone, gone); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPolicyRolesAreAggregatedUnlessToldNot(t *testing.T) {
	for who, into := range map[string]string{"admin": "admin", "editor": "edit", "viewer": "view"} {
		key, label := "ClusterRole backup-operator-backuppolicy-"+who, "rbac.authorization.k8s.io/aggregate-to-"+into
		if got := at[map[string]any](t, chart(t).get(t, key), "metadata", "labels")[label]; got != "true" {
			t.Errorf("%s: %s is %v, want true", key, label, got)
		}
		apart := chart(t, "--set", "rbac.aggregate=false").get(t, key)
		if got, ok := at[map[string]any](t, apart, "metadata", "labels")[label]; ok {
			t.Errorf("rbac.aggregate=false: %s: %s is %v, want none", key, label, got)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	for set, want := range map[string]string{
		"replica=2":                                                    "replica",
		"image.tag=has space":                                          "/image/tag",
		"image.digest=sha256:short":                                    "/image/digest",
		"image.repository=":                                            "/image/repository",
		"logging.level=loud":                                           "/logging/level",
		"leaderElection.leaseDuration=1":                               "/leaderElection/leaseDuration",
		"leaderElection.leaseDuration=500ms":                           "/leaderElection/leaseDuration",
		"replicas=2,leaderElection.enabled=false":                      "leaderElection.enabled is false",
		"watchNamespaces={Not_A_Name}":                                 "/watchNamespaces/0",
		"metrics.serviceMonitor.on=true":                               "/metrics/serviceMonitor",
		"allowHostPath=perhaps":                                        "/allowHostPath",
		"metrics.dashboard.on=true":                                    "/metrics/dashboard",
		"metrics.prometheusRule.runbookPrefix=docs/":                   "/metrics/prometheusRule/runbookPrefix",
		"startGrace=soon":                                              "/startGrace",
		"startGrace=0s":                                                "/startGrace",
		"startGrace=0h0m":                                              "/startGrace",
		"startGrace=99999999h":                                         "/startGrace",
		"leaderElection.leaseDuration=0s":                              "/leaderElection/leaseDuration",
		"leaderElection.leaseDuration=99999999h":                       "/leaderElection/leaseDuration",
		"replicas=1000":                                                "/replicas",
		"image.repository=Team/Operator":                               "/image/repository",
		"runner.image=registry.example.com/Runner":                     "/runner/image",
		"imagePullSecrets[0].name=Pull":                                "/imagePullSecrets/0/name",
		"fullnameOverride=Store":                                       "/fullnameOverride",
		"nameOverride=Store":                                           "/nameOverride",
		"serviceAccount.name=Store":                                    "/serviceAccount/name",
		"priorityClassName=High":                                       "/priorityClassName",
		"podLabels.app\\.kubernetes\\.io/name=other":                   "/podLabels",
		"podLabels.tier=not a label":                                   "/podLabels/tier",
		"nodeSelector.disk=a b":                                        "/nodeSelector/disk",
		"resources.limits.memory=much":                                 "/resources/limits/memory",
		"metrics=null":                                                 "metrics",
		"networkPolicy.enabled=true,networkPolicy.from=null":           "networkPolicy.from must name at least one peer",
		"podAnnotations.kubectl\\.kubernetes\\.io/default-container=x": "/podAnnotations",
		"metrics.serviceMonitor.interval=0s":                           "/metrics/serviceMonitor/interval",
		"metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.labels.helm\\.sh/chart=x": "/metrics/serviceMonitor/labels",
	} {
		t.Run(set, func(t *testing.T) {
			_, err := helmTemplate(t, "--set", set)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the message does not name %s:\n%v", want, err)
			}
		})
	}
}

// TestAnEmptyNetworkPolicyIsRefused, for without peers it would let everybody in.
func TestAnEmptyNetworkPolicyIsRefused(t *testing.T) {
	_, err := helmTemplate(t, "--set-json", `networkPolicy={"enabled":true,"from":[]}`)
	if err == nil || !strings.Contains(err.Error(), "/networkPolicy/from") {
		t.Errorf("the chart says %v", err)
	}
}

// TestWhateverTheSchemaAcceptsRenders puts strange values in place of each value of values.yaml. Each is refused by the
// schema or by a message of the chart, or what is rendered is YAML.
func TestWhateverTheSchemaAcceptsRenders(t *testing.T) {
	content, err := os.ReadFile("backup-operator/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(content, &values); err != nil {
		t.Fatal(err)
	}
	on := filepath.Join(t.TempDir(), "on.yaml")
	write(t, on, `{crds: {install: false}, networkPolicy: {enabled: true}, metrics: {serviceMonitor: {enabled: true},
		prometheusRule: {enabled: true}, dashboard: {enabled: true}}}`)
	strange := []string{`null`, `"a: b\n- c"`, `"Upper_Case"`, `-1`, `1e300`, `true`, `[]`, `{"a":null}`,
		`"` + strings.Repeat("a", 300) + `"`}
	for _, path := range paths("", values) {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			for _, value := range strange {
				_, err := helmTemplate(t, "--values", on, "--set-json", path+"="+value)
				if err != nil && !strings.Contains(err.Error(), "values don't meet the specifications of the schema") &&
					!strings.Contains(err.Error(), "execution error at") {
					t.Errorf("%s=%s: %v", path, value, err)
				}
			}
		})
	}
}

// paths are those of all values below, objects included.
func paths(prefix string, values map[string]any) []string {
	var all []string
	for name, value := range values {
		all = append(all, prefix+name)
		if below, ok := value.(map[string]any); ok && !strings.Contains(name, "abels") {
			all = append(all, paths(prefix+name+".", below)...)
		}
	}
	return all
}
