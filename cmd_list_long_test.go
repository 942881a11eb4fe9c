// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
)

// Files have times that nobody meant, and the others are still to be listed.
func TestEveryTimeCanBeListed(t *testing.T) {
	for sec, want := range map[int64]string{
		1_600_000_000:   "2020-09-13T12:26:40.00000012Z",
		253_402_300_800: "10000-01-01T00:00:00.00000012Z",
		-1 << 62:        "@-4611686018427387903.99999988",
		1<<63 - 1:       "@9223372036854775807.00000012",
	} {
		e := index.Entry{Path: "data/x", Type: index.Regular, ModTime: index.Time{Sec: sec, Nsec: 120}}
		var out bytes.Buffer
		if err := printEntryJSON(&out, &e); err != nil {
			t.Errorf("%d: %v", sec, err)
		}
		var got struct{ Mtime string }
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Mtime != want {
			t.Errorf("%d: %q, %v", sec, got.Mtime, err)
		}
		if err := printEntry(&out, &e); err != nil {
			t.Errorf("%d: %v", sec, err)
		}
	}
}
