// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestSha256sumChecksWhatWasRestored has the list do what it is for.
func TestSha256sumChecksWhatWasRestored(t *testing.T) {
	root := built(t, corpus())
	w := write(t, Options{}, Source{Name: "data", Path: root})
	target := t.TempDir()
	run(t, "tar", "--zstd", "-xpf", w.path, "-C", target)
	list := filepath.Join(t.TempDir(), "archive.sha256")
	if err := os.WriteFile(list, w.checksums, 0o600); err != nil {
		t.Fatal(err)
	}
	check := func() ([]byte, error) {
		cmd := exec.Command("sha256sum", "--quiet", "--strict", "-c", list)
		cmd.Dir = target
		return cmd.CombinedOutput()
	}
	if out, err := check(); err != nil || len(out) > 0 {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
	lines := int64(bytes.Count(w.checksums, []byte("\n")))
	if lines != w.result.Summary.Files || bytes.Count(w.checksums, []byte("# sparse, not listed: ")) < 5 {
		t.Errorf("%d lines for %d files:\n%s", lines, w.result.Summary.Files, w.checksums)
	}
	flip(t, filepath.Join(target, "data", "random"), 3<<20)
	if out, err := check(); err == nil || !strings.Contains(string(out), "data/random: FAILED") {
		t.Errorf("a flipped bit isn't noticed: %v\n%s", err, out)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, unix.EDQUOT }

func TestAListThatCanNotBeWrittenIsAnError(t *testing.T) {
	source := Source{Name: "data", Path: built(t, treetest.Dir{Entries: treetest.Entries{"f": treetest.File{Content: "x"}}})}
	if _, err := tryWrite(t, t.Context(), Options{Checksums: brokenWriter{}}, source); !errors.Is(err, unix.EDQUOT) {
		t.Errorf("got error %v, want %v", err, unix.EDQUOT)
	}
}

// TestALongListIsTheSame: it is read from the archive's index, and a short one isn't.
func TestALongListIsTheSame(t *testing.T) {
	w := write(t, Options{}, Source{Name: "data", Path: built(t, corpus())})
	file := opened(t, w.path)
	out := &output{file: file.file, size: w.result.Size}
	var long bytes.Buffer
	list := checksums{to: &long, held: bytes.Repeat([]byte("x"), heldChecksums)}
	list.add([]index.Entry{{Path: "data/x", Type: index.Regular}})
	if err := list.write(t.Context(), out, file.archive.Blocks()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(w.checksums), long.String()); diff != "" {
		t.Errorf("(-short +long):\n%s", diff)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := list.write(ctx, out, file.archive.Blocks()); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
	list.to = brokenWriter{}
	if err := list.write(t.Context(), out, file.archive.Blocks()); !errors.Is(err, unix.EDQUOT) {
		t.Errorf("got error %v, want %v", err, unix.EDQUOT)
	}
}
