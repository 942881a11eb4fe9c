// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestAbandonedDirectoriesAreRemoved leaves one that is in use alone.
func TestAbandonedDirectoriesAreRemoved(t *testing.T) {
	parent := t.TempDir()
	abandoned := filepath.Join(parent, scratchPrefix+"1")
	if err := os.MkdirAll(filepath.Join(abandoned, "source"), 0o755); err != nil {
		t.Fatal(err)
	}
	used, lock, err := newScratch(parent)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	_, other, err := newScratch(parent)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := os.Stat(abandoned); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", abandoned, err)
	}
	if _, err := os.Stat(used); err != nil {
		t.Errorf("one that is in use was removed: %v", err)
	}
}
