// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command descriptions rewrites the descriptions in CRDs so that each paragraph is one line.
//
// controller-gen keeps the line breaks of Go comments, and kubectl explain prints them beside its own, so that sentences
// end in the middle of a line.
//
// Usage: descriptions CRD...
package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: descriptions CRD...")
		os.Exit(2)
	}
	for _, file := range os.Args[1:] {
		if err := rewrite(file); err != nil {
			fmt.Fprintf(os.Stderr, "descriptions: %s: %v\n", file, err)
			os.Exit(1)
		}
	}
}

func rewrite(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var crd map[string]any
	if err := yaml.Unmarshal(content, &crd); err != nil {
		return err
	}
	unwrapAll(crd)
	var out bytes.Buffer
	out.WriteString("---\n")
	text, err := yaml.Marshal(crd)
	if err != nil {
		return err
	}
	out.Write(text)
	return os.WriteFile(file, out.Bytes(), 0o644)
}

// unwrapAll unwraps the descriptions in a schema. A property may be named "description" as well, and is an object then.
func unwrapAll(node any) {
	switch node := node.(type) {
	case map[string]any:
		for key, value := range node {
			if text, ok := value.(string); ok && key == "description" {
				node[key] = unwrap(text)
				continue
			}
			unwrapAll(value)
		}
	case []any:
		for _, value := range node {
			unwrapAll(value)
		}
	}
}

// startsLine matches what has to stay at the beginning of a line: items of lists, and what is indented.
var startsLine = regexp.MustCompile(`^(\s|[-*] |\d+[.)] |$)`)

// unwrap joins the lines of each paragraph.
func unwrap(text string) string {
	var out strings.Builder
	previous := ""
	for i, line := range strings.Split(text, "\n") {
		switch {
		case i == 0:
		case startsLine.MatchString(line) || previous == "":
			out.WriteByte('\n')
		default:
			out.WriteByte(' ')
		}
		out.WriteString(line)
		previous = line
	}
	return out.String()
}
