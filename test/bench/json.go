// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"os"
	"slices"
)

// record is all that was measured of one step of one candidate.
type record struct {
	Filesystem string     `json:"filesystem"`
	Candidate  string     `json:"candidate"`
	Step       step       `json:"step"`
	Samples    []sample   `json:"samples,omitempty"`
	SpaceBytes []int64    `json:"spaceBytes,omitempty"`
	Transfers  []transfer `json:"transfers,omitempty"`
}

func writeJSON(file string, m machine, o options, r *results) error {
	content, err := json.MarshalIndent(struct {
		Machine machine  `json:"machine"`
		Size    float64  `json:"size"`
		Runs    int      `json:"runs"`
		Records []record `json:"records"`
	}{m, o.size, o.rounds, r.records()}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(content, '\n'), 0o644)
}

// records are sorted, so that two files can be compared.
func (r *results) records() []record {
	var records []record
	for k, v := range r.samples {
		records = append(records, record{Filesystem: k.filesystem, Candidate: k.candidate, Step: k.step, Samples: v})
	}
	for k, v := range r.space {
		records = append(records, record{Filesystem: k.filesystem, Candidate: k.candidate, Step: k.step, SpaceBytes: v})
	}
	for k, v := range r.sent {
		records = append(records, record{Filesystem: k.filesystem, Candidate: k.candidate, Step: k.step, Transfers: v})
	}
	slices.SortFunc(records, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.Filesystem, b.Filesystem), cmp.Compare(a.Candidate, b.Candidate), cmp.Compare(a.Step, b.Step))
	})
	return records
}
