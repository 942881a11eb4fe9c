// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSelectors(t *testing.T) {
	for expr, want := range map[string][]Selector{
		`up`: {{Metric: "up"}},
		`max by (namespace, policy) (time() - due_seconds) > 0`:          {{Metric: "due_seconds"}},
		`a{type="x y", status!='z'} == 1 or b{c=~".*"}`:                  {{"a", []string{"type", "status"}}, {"b", []string{"c"}}},
		`sum without(pod) (rate(c_total{job="j"}[5m] offset 1h)) / 1e9`:  {{"c_total", []string{"job"}}},
		`a * on (namespace) group_left (reason) b unless c and on () d`:  {{Metric: "a"}, {Metric: "b"}, {Metric: "c"}, {Metric: "d"}},
		`count(count by (policy) (x{policy="max"}))`:                     {{"x", []string{"policy"}}},
		`label_replace(vector(1), "dst", "name_in_text", "src", "(.*)")`: nil,
	} {
		if diff := cmp.Diff(want, Selectors(expr)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", expr, diff)
		}
	}
}
