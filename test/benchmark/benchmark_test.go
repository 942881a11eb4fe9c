// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package benchmark

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestValuesAreReadFromTheKernelsFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "status")
	if err := os.WriteFile(file, []byte("Name:\tbackup: operator\nVmRSS:\t     153 kB\nThreads:\t9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Field(file, "Name"); got != "backup: operator" {
		t.Errorf("name %q", got)
	}
	if got, err := Bytes(file, "VmRSS"); err != nil || got != 153<<10 {
		t.Errorf("%d bytes, %v", got, err)
	}
	for _, name := range []string{"Name", "VmHWM"} {
		if _, err := Bytes(file, name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s in bytes: %v", name, err)
		}
	}
}
