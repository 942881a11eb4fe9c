// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDataSetIsDeterministic makes it twice and lets days pass for both.
func TestDataSetIsDeterministic(t *testing.T) {
	var trees [2]tree
	for i := range trees {
		d := newDataSet(filepath.Join(t.TempDir(), "data"), 0.003)
		if err := d.generate(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 12 {
			if err := d.churn(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		trees[i] = withoutTimes(readTreeOf(t, d.root))
	}
	if diff := cmp.Diff(trees[0], trees[1], cmp.AllowUnexported(node{})); diff != "" {
		t.Errorf("not the same twice:\n%s", diff)
	}
}

// withoutTimes leaves out what depends on when files were made.
func withoutTimes(t tree) tree {
	for path, n := range t {
		n.seconds = 0
		t[path] = n
	}
	return t
}

func readTreeOf(t *testing.T, root string) tree {
	t.Helper()
	read, err := readTree(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func TestADayChangesOnePercent(t *testing.T) {
	d := newDataSet(filepath.Join(t.TempDir(), "data"), 0.025)
	if err := d.generate(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := readTreeOf(t, d.root).files()
	if err := d.churn(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := readTreeOf(t, d.root).files()
	kinds := map[string]int{}
	written := int64(0)
	for path, n := range after {
		kind, _, _ := strings.Cut(path, "/")
		old, was := before[path]
		switch {
		case !was:
			kinds[kind+" made"]++
			written += n.size
		case old.sha256 != n.sha256 && n.size > old.size && kind == "logs":
			kinds["logs grown"]++
			written += n.size - old.size
		case old.sha256 != n.sha256:
			kinds[kind+" written"]++
			written += n.size
		}
	}
	for path := range before {
		if _, is := after[path]; !is {
			kind, _, _ := strings.Cut(path, "/")
			kinds[kind+" removed"]++
		}
	}
	total := int64(0)
	for _, n := range before {
		total += n.size
	}
	if share := float64(written) / float64(total); share < 0.004 || share > 0.015 {
		t.Errorf("a day writes %.2f %% of all bytes", share*100)
	}
	// 10 of 1000 small files; of so few logs and recordings one each.
	want := map[string]int{"config written": 9, "config made": 1, "config removed": 1, "logs grown": 1,
		"sessions made": 1}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("what a day changed (-want +got):\n%s", diff)
	}
	if after[d.probe()] != before[d.probe()] {
		t.Errorf("%s, which is restored alone, changed", d.probe())
	}
}
