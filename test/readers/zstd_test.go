// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
	seekable "github.com/SaveTheRbtz/zstd-seekable-format-go/pkg"
	"github.com/klauspost/compress/zstd"
)

// archives are a first one and one by reuse of a tree that has small and big files.
func archives(t *testing.T) map[string]*written {
	t.Helper()
	root := filepath.Join(t.TempDir(), "source")
	treetest.Build(t, root, treetest.Everything())
	first := write(t, root, nil)
	treetest.Change(t, root)
	return map[string]*written{"first": first, "second": write(t, root, first)}
}

// output is what a command writes; an error fails the test.
func output(t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, said.String(), out)
	}
	return out
}

func TestZstdTestsAndListsArchives(t *testing.T) {
	for name, w := range archives(t) {
		t.Run(name, func(t *testing.T) {
			output(t, "", "zstd", "-t", "-q", w.path)
			list := string(output(t, "", "zstd", "-lv", w.path))
			if size := fmt.Sprintf("(%d B)", w.result.Summary.BytesTar); !strings.Contains(list, size) {
				t.Errorf("zstd doesn't know that the content has %s:\n%s", size, list)
			}
		})
	}
}

func TestZstdNoticesWhatIsDamaged(t *testing.T) {
	w := archives(t)["second"]
	content, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	damaged := filepath.Join(t.TempDir(), "damaged.zst")
	if err := os.WriteFile(damaged, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("zstd", "-t", "-q", damaged).Run(); err == nil {
		t.Error("a flipped bit wasn't found")
	}
}

// TestSidecarsCheckWhatIsRestored follows the command that the documentation gives.
func TestSidecarsCheckWhatIsRestored(t *testing.T) {
	for name, w := range archives(t) {
		t.Run(name, func(t *testing.T) {
			target := t.TempDir()
			if said, err := readers["GNU tar"].restore(w.path, target); err != nil || said != "" {
				t.Fatalf("%v\n%s", err, said)
			}
			if out := output(t, target, "sha256sum", "--quiet", "-c", w.sums); len(out) > 0 {
				t.Errorf("%s", out)
			}
			if err := os.WriteFile(filepath.Join(target, "data", "random"), []byte("other"), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("sha256sum", "--quiet", "-c", w.sums)
			cmd.Dir = target
			if out, err := cmd.Output(); err == nil || string(out) != "data/random: FAILED\n" {
				t.Errorf("of a file that isn't what it was, it says %q, %v", out, err)
			}
		})
	}
}

// counted counts what is read.
type counted struct {
	*os.File
	bytes int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.File.Read(p)
	c.bytes += int64(n)
	return n, err
}

// TestASeekableReaderReadsAPart reads parts of the tar stream with a program that knows zstd's seekable format.
func TestASeekableReaderReadsAPart(t *testing.T) {
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	for name, w := range archives(t) {
		t.Run(name, func(t *testing.T) {
			stream := output(t, "", "zstd", "-dc", w.path)
			file := &counted{File: open(t, w.path)}
			reader, err := seekable.NewReader(file, decoder)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			if end, err := reader.Seek(0, io.SeekEnd); err != nil || end != int64(len(stream)) {
				t.Fatalf("the seek table's content ends at %d, error %v, want %d", end, err, len(stream))
			}
			part := make([]byte, 100_000)
			for _, at := range []int{0, 512, len(stream) / 3, len(stream) / 2, len(stream) - len(part)} {
				file.bytes = 0
				if _, err := reader.ReadAt(part, int64(at)); err != nil {
					t.Fatalf("read at %d: %v", at, err)
				}
				if want := stream[at : at+len(part)]; sha256.Sum256(part) != sha256.Sum256(want) {
					t.Errorf("what is at %d differs", at)
				}
				if most := int64(4 << 20); file.bytes > most {
					t.Errorf("%d bytes were read for those at %d", file.bytes, at)
				}
			}
		})
	}
}
