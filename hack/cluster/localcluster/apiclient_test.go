// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestNodeIsReadyOnlyWhenPodsCanRunOnIt(t *testing.T) {
	tests := map[string]struct{ node, want string }{
		"new":       {`{"status":{"conditions":[{"type":"MemoryPressure","status":"False"}]}}`, "no Ready condition"},
		"not ready": {`{"status":{"conditions":[{"type":"Ready","status":"False","message":"no CNI"}]}}`, "no CNI"},
		"tainted": {`{"spec":{"taints":[{"key":"node.kubernetes.io/not-ready"}]},
			"status":{"conditions":[{"type":"Ready","status":"True"}]}}`, "node.kubernetes.io/not-ready"},
		"ready": {`{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var node nodeObject
			if err := json.Unmarshal([]byte(test.node), &node); err != nil {
				t.Fatal(err)
			}
			err := node.ready()
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("ready() = %v, want %q", err, test.want)
			}
		})
	}
}
