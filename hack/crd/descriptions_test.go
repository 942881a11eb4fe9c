// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestUnwrap(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "",
		"one line":                               "one line",
		"a sentence that\ncontinues":             "a sentence that continues",
		"one\ntwo\n\nthree\nfour":                "one two\n\nthree four",
		"either:\n- this\n  and that\n- or that": "either:\n- this\n  and that\n- or that",
		"code:\n    a: b\n    c: d\n\nend":       "code:\n    a: b\n    c: d\n\nend",
	} {
		if got := unwrap(text); got != want {
			t.Errorf("unwrap(%q) = %q, want %q", text, got, want)
		}
	}
}
