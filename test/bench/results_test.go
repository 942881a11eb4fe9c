// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTables(t *testing.T) {
	r := newResults()
	for _, seconds := range []float64{9, 1, 2} {
		k := key{"xfs", "ours", first}
		r.samples[k] = append(r.samples[k], sample{Seconds: seconds, PeakBytes: int64(seconds) << 20})
	}
	for _, seconds := range []float64{3, 5} {
		k := key{"xfs", "tar", first}
		r.samples[k] = append(r.samples[k], sample{Seconds: seconds})
	}
	r.space[key{"xfs", "ours", space}] = []int64{3 << 30}
	r.space[key{"xfs", "tar", space}] = []int64{6 << 30}
	r.sent[key{"xfs", "ours", sent}] = []transfer{{ArchiveBytes: 100 << 20, SentBytes: 5 << 20, Seconds: 1}}
	p := plan{filesystems: []string{"xfs"}, only: regexp.MustCompile("ours|tar")}
	var b strings.Builder
	printTables(&b, p, r, map[string]string{"ours": "we", "tar": "they"})
	var rows []string
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "|  |") && !strings.Contains(line, "not measured") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	want := []string{
		"| they, XFS | 4.00 | – | – | – | – | – | 6.00 | – |",
		"| **we**, XFS | 2.00 | – | – | – | – | – | 3.00 | 9 |",
		"| to they, XFS | 0.500 | – | – | – | – | – | 0.500 |",
		"| **we**, XFS | 100.0 | 5.0 | 0.050 | 1.0 |",
		"| XFS: first, of tar's | 0.95 | 0.5 | reached |",
		"| XFS: most memory, in MiB | 150 | 9 | reached |",
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestMissedAimsAreCalledSo(t *testing.T) {
	r := newResults()
	r.samples[key{"ext4", "ours", first}] = []sample{{Seconds: 1}}
	r.samples[key{"ext4", "tar", first}] = []sample{{Seconds: 2}}
	r.samples[key{"ext4", "ours", verify}] = []sample{{Seconds: 3}}
	r.samples[key{"ext4", "tar", verify}] = []sample{{Seconds: 2}}
	var b strings.Builder
	printAims(&b, r)
	if want := "| ext4: the worst of all times, of tar's | 1 | 1.5 | **missed** |"; !strings.Contains(b.String(), want) {
		t.Errorf("no %s in\n%s", want, b.String())
	}
}

func TestPlan(t *testing.T) {
	p := plan{filesystems: []string{"xfs", "ext4"}}
	if diff := cmp.Diff([]string{"ours", "restic", "borg", "rsync", "tar"}, p.candidates("xfs", 1)); diff != "" {
		t.Errorf("the second run's order on the first file system:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"tar", "ours"}, p.candidates("ext4", 2)); diff != "" {
		t.Errorf("the third run's order on another one:\n%s", diff)
	}
	p.only = regexp.MustCompile("^xfs/restic/space$")
	if diff := cmp.Diff([]string{"restic"}, p.all()); diff != "" {
		t.Errorf("of whom anything is wanted:\n%s", diff)
	}
	for s, want := range map[step]bool{first: true, changed: true, space: true, unchanged: false, restore: false} {
		if got := p.runs("xfs", "restic", s); got != want {
			t.Errorf("%s is done: %t, want %t", s, got, want)
		}
	}
}
