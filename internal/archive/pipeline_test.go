// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAPanicInAWorkerIsAnError: the exit status of a program that panics would say that its settings are wrong.
func TestAPanicInAWorkerIsAnError(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "archive"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	summary := newSummary([]Source{{Name: "data"}})
	p, err := newPipeline(t.Context(), &output{file: file}, nil, summary, &Reuse{}, &Options{Concurrency: 2, VerifyRuns: 14})
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.acquire()
	if err != nil {
		t.Fatal(err)
	}
	// A file without a directory can't be.
	f.members = []member{{item: item{name: "file", stat: stat{mode: unix.S_IFREG}}}}
	p.submit(f)
	if err := p.wait(nil); err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("a worker panicked, and the archive ended with: %v", err)
	}
}
