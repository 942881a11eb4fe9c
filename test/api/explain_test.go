// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"os"
	"regexp"
	"testing"

	"sigs.k8s.io/yaml"
)

// brokenSentence is a line break with a sentence on both of its sides.
var brokenSentence = regexp.MustCompile(`[a-z,]\n[a-z]`)

// TestExplainDoesNotBreakSentences reads what kubectl explain prints, which adds line breaks of its own.
func TestExplainDoesNotBreakSentences(t *testing.T) {
	content, err := os.ReadFile("../../config/crd/bases/backup.appliance.io_backuppolicies.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd map[string]any
	if err := yaml.Unmarshal(content, &crd); err != nil {
		t.Fatal(err)
	}
	descriptions := 0
	var visit func(node any)
	visit = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			for key, value := range node {
				if text, ok := value.(string); ok && key == "description" {
					descriptions++
					if found := brokenSentence.FindString(text); found != "" {
						t.Errorf("%q breaks at %q", text, found)
					}
				}
				visit(value)
			}
		case []any:
			for _, value := range node {
				visit(value)
			}
		}
	}
	visit(crd)
	if descriptions < 200 {
		t.Errorf("only %d descriptions", descriptions)
	}
}
