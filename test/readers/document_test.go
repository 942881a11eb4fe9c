// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/archive"
)

const document = "../../docs/archive-format.md"

// motd writes the archive of the document's example.
func motd(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	file := filepath.Join(source, "motd")
	at := time.Unix(1_700_000_000, 0)
	for _, err := range []error{
		os.Mkdir(source, 0o755), os.WriteFile(file, []byte("hello\n"), 0o644), os.Chmod(source, 0o755), os.Chmod(file, 0o644),
		os.Chtimes(file, at, at), os.Chtimes(source, at, at),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(dir, "motd.tar.zst"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	header := archive.Header{
		Policy: "orbit/appliance", Run: "appliance-29312", Tool: "backup-operator v0.1.0",
		CreatedAt: time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC),
	}
	sources := []archive.Source{{Name: "data", Path: source}}
	if _, err := archive.Write(context.Background(), f, sources, archive.Options{Header: header}); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// The program in the document is what strangers start from: it must read what is written.
func TestTheDocumentsReaderReadsAnArchive(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile("(?s)\n## A reader of the index\n.*?```python\n(.*?)```").FindSubmatch(text)
	if program == nil {
		t.Fatalf("there is no program in %s", document)
	}
	out, err := exec.Command("/usr/bin/python3", "-c", string(program[1]), motd(t)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	owner := fmt.Sprintf("%d/%d", os.Getuid(), os.Getgid())
	want := "5 0o755 " + owner + " 0 1700000000 data \n0 0o644 " + owner + " 6 1700000000 data/motd \n"
	if string(out) != want {
		t.Errorf("got:\n%swant:\n%s", out, want)
	}
}

// The document's example tells where each part is. The index holds change times and inode numbers, which nobody can
// set, so it has not the same bytes and size everywhere; what is before it must be as the document has it.
func TestTheDocumentsExampleIsTrue(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(motd(t))
	if err != nil {
		t.Fatal(err)
	}
	const index = 12288
	lines := regexp.MustCompile(`(?m)^(?:offset)? +(\d+) +((?:[0-9A-F]{2} )+)`).FindAllSubmatch(text, -1)
	if len(lines) < 20 {
		t.Fatalf("only %d lines of the example were found", len(lines))
	}
	for _, line := range lines {
		var offset int
		if _, err := fmt.Sscan(string(line[1]), &offset); err != nil {
			t.Fatal(err)
		}
		want := strings.TrimSpace(string(line[2]))
		got := fmt.Sprintf("% X", file[offset:min(len(file), offset+(len(want)+1)/3)])
		if offset < index && got != want {
			t.Errorf("at %d the document has %s, and the archive %s", offset, want, got)
		}
	}
}
