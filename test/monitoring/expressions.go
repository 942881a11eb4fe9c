// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package monitoring tests what is made of the metrics: the alerting rules in config/prometheus, which promtool has fire
// and clear on what the operator's own code tells of policies, and the dashboard in config/grafana. A rule or a panel on
// a metric or a label that the operator doesn't have would be silent for ever, so each is held against it.
package monitoring

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Rule is an alerting rule.
type Rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// ReadRules reads the rules of a PrometheusRule, and its spec, which is a file of rules as Prometheus itself has them.
func ReadRules(path string) (rules []Rule, spec []byte, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	var object struct {
		Spec struct {
			Groups []struct {
				Name  string `json:"name"`
				Rules []Rule `json:"rules"`
			} `json:"groups"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(content, &object); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, group := range object.Spec.Groups {
		rules = append(rules, group.Rules...)
	}
	spec, err = yaml.Marshal(object.Spec)
	return rules, spec, err
}

// Selector is a metric that an expression asks for, and the labels by which it is selected.
type Selector struct {
	Metric string
	Labels []string
}

var (
	// grouping is by (…) and the like, and ranges in brackets.
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)|\[[^\]]*\]`)
	// token is a string, a number with its unit, or a name with the labels by which it is selected.
	token = regexp.MustCompile(`"[^"]*"|'[^']*'|[0-9][0-9a-zA-Z.]*|([a-zA-Z_:][a-zA-Z0-9_:]*)(\s*\{[^}]*\})?`)
	// matcher is a label's name in a selector.
	matcher = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)\s*["']`)

	operators = []string{"and", "or", "unless", "bool", "offset"}
)

// Selectors are the metrics that a PromQL expression asks for.
func Selectors(expr string) []Selector {
	expr = grouping.ReplaceAllString(expr, " ")
	var found []Selector
	for _, at := range token.FindAllStringSubmatchIndex(expr, -1) {
		if at[2] < 0 {
			continue
		}
		name := expr[at[2]:at[3]]
		function := strings.HasPrefix(strings.TrimLeft(expr[at[1]:], " \n"), "(")
		if function || slices.Contains(operators, name) {
			continue
		}
		selector := Selector{Metric: name}
		if at[4] >= 0 {
			for _, label := range matcher.FindAllStringSubmatch(expr[at[4]:at[5]], -1) {
				selector.Labels = append(selector.Labels, label[1])
			}
		}
		found = append(found, selector)
	}
	return found
}

// queryInText finds what a template of an annotation asks Prometheus, printf's format.
var queryInText = regexp.MustCompile(`printf\s+"([^"]*)"`)

// Expressions are all expressions of a rule: its own, and those in its annotations.
func (r *Rule) Expressions() []string {
	all := []string{r.Expr}
	for _, text := range r.Annotations {
		for _, query := range queryInText.FindAllStringSubmatch(text, -1) {
			if strings.Contains(query[1], "{") {
				all = append(all, query[1])
			}
		}
	}
	return all
}
