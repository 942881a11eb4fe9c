// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"regexp"
	"strings"
)

// unwrapAll unwraps the descriptions in a schema. A property may be named "description" as well, and is an object then.
func unwrapAll(node any) {
	switch node := node.(type) {
	case object:
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
