// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"appliance.io/backup-operator/controllers"
	"appliance.io/backup-operator/test/monitoring"
)

// TestEveryMetricIsExplained compares the table of metrics with the code.
func TestEveryMetricIsExplained(t *testing.T) {
	var want []string
	for _, family := range controllers.MetricFamilies() {
		labels := ""
		if len(family.Labels) > 0 {
			labels = "`" + strings.Join(family.Labels, "`, `") + "`"
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", family.Name, labels, family.Help))
	}
	got := submatches("(?m)^(\\| `backup_policy_.*)$", read(t, "monitoring.md"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table of metrics in monitoring.md (+) is not what the code says (-):\n%s", diff)
	}
}

// TestEveryAlertIsListed compares the table of alerts with the rules.
func TestEveryAlertIsListed(t *testing.T) {
	rules, _, err := monitoring.ReadRules("../config/prometheus/prometheus_rule.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, rule := range rules {
		want = append(want, fmt.Sprintf("| [%s](runbooks/%s.md) | %s |", rule.Alert, rule.Alert, rule.Labels["severity"]))
	}
	got := submatches(`(?m)^(\| \[Backup\w+\]\(runbooks/.*?\) \| \w+ \|)`, read(t, "monitoring.md"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table of alerts in monitoring.md (+) is not what the rules say (-):\n%s", diff)
	}
}
