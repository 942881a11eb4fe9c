// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/treetest"
)

// listing are the commands with which stock readers list an archive, a name a line.
var listing = map[string][]string{
	"GNU tar": {"tar", "--zstd", "-tf"},
	"bsdtar":  {"bsdtar", "-tf"},
	"busybox": {"sh", "-c", `zstd -dc -- "$1" | busybox tar -tf -`, "-"},
	"Python": {"/usr/bin/python3", "-c", `import sys, tarfile, zstandard
stream = zstandard.ZstdDecompressor().stream_reader(open(sys.argv[1], "rb"), read_across_frames=True)
for m in tarfile.open(fileobj=stream, mode="r|"): print(m.name + "/" * m.isdir())`},
}

// TestAnIndexBetweenFramesDisturbsNoReader has an archive whose index is too big to be held until its end.
func TestAnIndexBetweenFramesDisturbsNoReader(t *testing.T) {
	// Long names that don't compress make a big index of few files.
	root := t.TempDir()
	for i := range 16_000 {
		name := hex.EncodeToString([]byte(treetest.Random(120, uint64(i))))
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := write(t, root, nil)
	for name, w := range map[string]*written{"first": first, "second": write(t, root, first)} {
		t.Run(name, func(t *testing.T) {
			file := open(t, w.path)
			a, err := archive.Open(file, w.result.Size)
			if err != nil {
				t.Fatal(err)
			}
			blocks := a.Blocks()
			if last := blocks[len(blocks)-1]; blocks[0].Offset > last.Data {
				t.Fatalf("the index is not between the frames: %+v ... %+v", blocks[0], last)
			}
			var want [sha256.Size]byte
			for name, command := range listing {
				list := output(t, "", command[0], append(command[1:len(command):len(command)], w.path)...)
				if lines := bytes.Count(list, []byte("\n")); int64(lines) != w.result.Summary.Entries {
					t.Errorf("%s lists %d entries of %d", name, lines, w.result.Summary.Entries)
				}
				if sum := sha256.Sum256(list); want == [sha256.Size]byte{} {
					want = sum
				} else if sum != want {
					t.Errorf("%s lists other names", name)
				}
			}
		})
	}
}
