// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"sigs.k8s.io/yaml"
)

// rulesPath is the one file in which the rules are written.
const rulesPath = "../../config/prometheus/prometheus_rule.yaml"

// scraped is how often Prometheus asks in these tests.
const scraped = time.Minute

// replicas are the pods that are scraped: whatever is told by two must be told of once.
var replicas = []string{"backup-operator-a", "backup-operator-b"}

// phase is what the operator serves for a while: nothing at all while it is down.
type phase struct {
	until  time.Duration
	serves string
}

// promtoolTest is one test of promtool's, from
// https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/.
type promtoolTest struct {
	Name        string         `json:"name"`
	Interval    string         `json:"interval"`
	InputSeries []inputSeries  `json:"input_series"`
	Alerts      []alertsAtTime `json:"alert_rule_test"`
}

type inputSeries struct {
	Series string `json:"series"`
	Values string `json:"values"`
}

type alertsAtTime struct {
	EvalTime string  `json:"eval_time"`
	Alert    string  `json:"alertname"`
	Expected []alert `json:"exp_alerts"`
}

type alert struct {
	Labels      map[string]string `json:"exp_labels"`
	Annotations map[string]string `json:"exp_annotations"`
}

// runPromtool has promtool test the rules and fails the test where it does.
func runPromtool(t *testing.T, spec []byte, tests []promtoolTest) {
	t.Helper()
	dir := t.TempDir()
	rules, file := filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "tests.yaml")
	content, err := yaml.Marshal(map[string]any{
		"rule_files": []string{"rules.yaml"}, "evaluation_interval": "1m", "tests": tests,
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, rules, spec)
	write(t, file, content)
	promtool(t, nil, "check", "rules", rules)
	promtool(t, nil, "test", "rules", file)
}

// promtool runs promtool with an input and returns what it says.
func promtool(t *testing.T, input []byte, args ...string) string {
	t.Helper()
	path, err := exec.CommandContext(t.Context(), "../../hack/promtool.sh").Output()
	if err != nil {
		t.Fatalf("get promtool: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), strings.TrimSpace(string(path)), args...)
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// seriesOf are what promtool is to know: each sample of the phases, from each replica.
func seriesOf(t *testing.T, phases []phase) []inputSeries {
	t.Helper()
	values := map[string][]string{}
	steps := 0
	for _, phase := range phases {
		lasts := int(phase.until/scraped) - steps
		now := samples(t, phase.serves)
		for name := range now {
			if _, known := values[name]; !known && steps > 0 {
				values[name] = []string{fmt.Sprintf("_x%d", steps)}
			}
		}
		for _, name := range slices.Collect(maps.Keys(values)) {
			if _, gone := now[name]; !gone {
				// Prometheus marks a series as ended as soon as a scrape doesn't have it.
				values[name] = append(values[name], "stale")
				if lasts > 1 {
					values[name] = append(values[name], fmt.Sprintf("_x%d", lasts-1))
				}
			}
		}
		for name, value := range now {
			values[name] = append(values[name], fmt.Sprintf("%.0f+0x%d", value, lasts-1))
		}
		steps += lasts
	}
	var all []inputSeries
	for _, name := range slices.Sorted(maps.Keys(values)) {
		all = append(all, inputSeries{name, strings.Join(values[name], " ")})
	}
	return all
}

// samples are the values of an exposition by metric and labels, as they are scraped from each replica.
func samples(t *testing.T, exposition string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for name, family := range families(t, exposition) {
		for _, metric := range family.GetMetric() {
			for _, replica := range replicas {
				labels := model.LabelSet{"pod": model.LabelValue(replica)}
				for _, label := range metric.GetLabel() {
					labels[model.LabelName(label.GetName())] = model.LabelValue(label.GetValue())
				}
				all[name+labels.String()] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
			}
		}
	}
	return all
}

func families(t *testing.T, exposition string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	parsed, err := parser.TextToMetricFamilies(strings.NewReader(exposition))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
