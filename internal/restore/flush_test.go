// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"fmt"
	"path/filepath"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
)

func TestAFewEntriesAreFlushedSingly(t *testing.T) {
	target := filepath.Join(t.TempDir(), "t")
	tree := corpus()
	treetest.Build(t, target, tree)
	r := &restorer{roots: roots{"data": {path: target}}}
	if err := r.roots["data"].open(); err != nil {
		t.Fatal(err)
	}
	defer r.roots.close()
	for _, path := range []string{"data", "data/small", "data/links", "data/links/dangling", "data/links/fifo", "data/links/sub/third"} {
		r.ledger.touch(path)
	}
	if err := r.flushSingly(); err != nil {
		t.Error(err)
	}
	r.ledger.touch("data/nowhere/file")
	if r.flushSingly() == nil {
		t.Error("a file that isn't there was flushed")
	}
	if err := r.flush(); err != nil {
		t.Errorf("all of it: %v", err)
	}
	for i := range maxSingly {
		r.ledger.touch(fmt.Sprint(i))
	}
	if !r.ledger.many || len(r.ledger.touched) > 0 {
		t.Errorf("%d are remembered", len(r.ledger.touched))
	}
}
