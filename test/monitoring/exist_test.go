// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
	"sigs.k8s.io/yaml"

	"appliance.io/backup-operator/controllers/watches"
)

const dashboardPath = "../../config/grafana/dashboard.json"

// exposition is all that an operator serves: of a policy that has every figure there is, and what controller-runtime
// and client-go count of a controller and of an election of these names.
func exposition(t *testing.T) string {
	t.Helper()
	countOne(t)
	if _, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{LockConfig: resourcelock.ResourceLockConfig{Identity: "me"}},
		Name: "backup-operator.backup.appliance.io", LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second,
		RetryPeriod: time.Second, Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) {}, OnStoppedLeading: func() {},
		},
	}); err != nil {
		t.Fatal(err)
	}
	health := watches.New(clock.RealClock{})
	health.Observe("BackupPolicy", &cache.ListWatch{})
	registry := prometheus.NewRegistry()
	registry.MustRegister(health)
	own, err := prometheus.Gatherers{metrics.Registry, registry}.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, family := range own {
		if _, err := expfmt.MetricFamilyToText(&out, family); err != nil {
			t.Fatal(err)
		}
	}
	return out.String() + hourly(missed(hour), func(s *status) {
		s.LastRun.BytesRead, s.LastRun.BytesNew, s.LastRun.BytesSent = ptr.To[int64](1), ptr.To[int64](1), ptr.To[int64](1)
		s.LastRun.Warnings = ptr.To[int64](0)
	})
}

// countOne has a controller of the operator's name reconcile once.
func countOne(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	counted, err := controller.NewUnmanaged("backuppolicy", controller.Options{
		SkipNameValidation: ptr.To(true),
		Reconciler: reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) {
			cancel()
			return reconcile.Result{}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	once := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(reconcile.Request{})
		return nil
	})
	if err := errors.Join(counted.Watch(once), counted.Start(ctx)); err != nil {
		t.Fatal(err)
	}
}

// labelsOf are the labels of each metric that is served. Prometheus adds what tells the pods apart.
func labelsOf(t *testing.T, exposition string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for name, family := range families(t, exposition) {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				all[name] = append(all[name], label.GetName())
			}
		}
		all[name] = append(all[name], "pod")
		if family.GetType() == dto.MetricType_HISTOGRAM {
			all[name+"_bucket"] = append(slices.Clone(all[name]), "le")
			all[name+"_sum"], all[name+"_count"] = all[name], all[name]
		}
	}
	return all
}

// checkSelectors fails the test where an expression asks for what nobody serves.
func checkSelectors(t *testing.T, served map[string][]string, where, expr string) {
	t.Helper()
	selectors := Selectors(expr)
	if len(selectors) == 0 {
		t.Errorf("%s: no metric in %s", where, expr)
	}
	for _, selector := range selectors {
		labels, ok := served[selector.Metric]
		if !ok {
			t.Errorf("%s: there is no metric %s", where, selector.Metric)
		}
		for _, label := range selector.Labels {
			if ok && !slices.Contains(labels, label) {
				t.Errorf("%s: the metric %s has no label %s", where, selector.Metric, label)
			}
		}
	}
}

func TestRulesAskForMetricsThatExist(t *testing.T) {
	rules, _, err := ReadRules(rulesPath)
	if err != nil {
		t.Fatal(err)
	}
	served := labelsOf(t, exposition(t))
	for _, rule := range rules {
		for _, expr := range rule.Expressions() {
			checkSelectors(t, served, rule.Alert, expr)
		}
	}
}

// TestHistoriesAreOfMetricsThatExist: what the tests of the rules make up of others' metrics is served as well.
func TestHistoriesAreOfMetricsThatExist(t *testing.T) {
	served := labelsOf(t, exposition(t))
	for _, s := range scenarios {
		for name := range samples(t, s.phases[0].serves) {
			checkSelectors(t, served, s.name, name)
		}
	}
}

// panel is what matters here of a panel of a dashboard, from Grafana's JSON model.
type panel struct {
	Title   string  `json:"title"`
	Type    string  `json:"type"`
	Panels  []panel `json:"panels"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
	Datasource  struct{ UID string } `json:"datasource"`
	Description string               `json:"description"`
}

type dashboard struct {
	UID        string  `json:"uid"`
	Title      string  `json:"title"`
	Panels     []panel `json:"panels"`
	Templating struct {
		List []struct {
			Name       string `json:"name"`
			Type       string `json:"type"`
			Definition string `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	content, err := os.ReadFile(dashboardPath)
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(content, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// queries are the expressions of the dashboard by the titles of their panels, and of its variables by their names. What
// Grafana puts in place of variables is in place.
func (d *dashboard) queries() map[string][]string {
	variables := strings.NewReplacer("$__rate_interval", "5m", "$__range", "1d", "$namespace", ".*", "$policy", ".*")
	all := map[string][]string{}
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			all[panel.Title] = append(all[panel.Title], variables.Replace(target.Expr))
		}
	}
	for _, variable := range d.Templating.List {
		if variable.Type == "query" {
			inner := regexp.MustCompile(`^label_values\((.*), \w+\)$`).FindStringSubmatch(variable.Definition)
			all["$"+variable.Name] = append(all["$"+variable.Name], variables.Replace(inner[1]))
		}
	}
	return all
}

func TestDashboardAsksForMetricsThatExist(t *testing.T) {
	d := readDashboard(t)
	served := labelsOf(t, exposition(t))
	type recorded struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []recorded
	for title, queries := range d.queries() {
		for _, expr := range queries {
			checkSelectors(t, served, title, expr)
			rules = append(rules, recorded{"dashboard", expr})
		}
	}
	if len(rules) < 20 {
		t.Fatalf("only %d expressions found in the dashboard", len(rules))
	}
	// Prometheus' own parser says whether they are expressions.
	content, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/dashboard.yaml"
	write(t, path, content)
	promtool(t, nil, "check", "rules", "--lint=none", path)
}

func TestDashboardIsWhole(t *testing.T) {
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" {
		t.Errorf("the dashboard has the uid %q and the title %q", d.UID, d.Title)
	}
	titles := map[string]bool{}
	for _, panel := range d.Panels {
		if panel.Type == "row" {
			continue
		}
		if titles[panel.Title] || len(panel.Targets) == 0 || panel.Datasource.UID != "${datasource}" {
			t.Errorf("the panel %q has %d expressions and the data source %q, and its title must be its own",
				panel.Title, len(panel.Targets), panel.Datasource.UID)
		}
		titles[panel.Title] = true
	}
}

// TestEveryMetricIsWellNamed has promtool judge what is served.
func TestEveryMetricIsWellNamed(t *testing.T) {
	own := hourly(missed(hour), func(s *status) { s.LastRun.Warnings = ptr.To[int64](0) })
	if said := promtool(t, []byte(own), "check", "metrics"); strings.TrimSpace(said) != "" {
		t.Errorf("promtool check metrics:\n%s", said)
	}
}
