// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package transfer tests what crosses the network when archives are brought to a server: the frames that changed, and
// little besides.
package transfer

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/rsync"
	"appliance.io/backup-operator/internal/rsync/rsynctest"
	"appliance.io/backup-operator/internal/treetest"
)

// files is a tree of so many small files in directories, and recordings beside them.
func files(n int) treetest.Dir {
	tree := treetest.Dir{Entries: treetest.Entries{}}
	for d := range n / 50 {
		dir := treetest.Dir{Entries: treetest.Entries{}}
		for f := range 50 {
			dir.Entries[fmt.Sprintf("file-%02d", f)] = treetest.File{Content: treetest.Random(20_000, uint64(d*50+f))}
		}
		tree.Entries[fmt.Sprintf("directory-%03d", d)] = dir
	}
	for r := range 4 {
		tree.Entries[fmt.Sprintf("recording-%d", r)] = treetest.File{Content: treetest.Random(5<<20, uint64(n+r))}
	}
	return tree
}

// write makes an archive of a tree in a directory.
func write(t *testing.T, root, dir, name, previous string) archive.Result {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var options archive.Options
	if previous != "" {
		if options.Previous, err = os.Open(filepath.Join(dir, previous)); err != nil {
			t.Fatal(err)
		}
		defer options.Previous.Close()
	}
	result, err := archive.Write(t.Context(), file, []archive.Source{{Name: "data", Path: root}}, options)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// change gives one in a hundred of the small files other content, neighbours first: as what is worked on is.
func change(t *testing.T, root string, n int) {
	t.Helper()
	for i := range n / 100 {
		file := filepath.Join(root, fmt.Sprintf("directory-%03d", i/50+2), fmt.Sprintf("file-%02d", i%50))
		if err := os.WriteFile(file, []byte(treetest.Random(20_000, uint64(1_000_000+i))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOfAnArchiveOnlyTheChangedFramesCross(t *testing.T) {
	const n = 2000
	root, dir := filepath.Join(t.TempDir(), "source"), t.TempDir()
	names := []string{"appliance-20261122T050003Z.tar.zst", "appliance-20261123T050001Z.tar.zst"}
	treetest.Build(t, root, files(n))
	write(t, root, dir, names[0], "")
	change(t, root, n)
	second := write(t, root, dir, names[1], names[0])

	command, err := rsync.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	behind := map[string]string{"daemon": t.TempDir(), "ssh": t.TempDir()}
	daemon, _ := rsynctest.Daemon(t, behind["daemon"])
	ssh, _ := rsynctest.SSH(t)
	for name, options := range map[string]rsync.Options{
		"daemon": {Server: daemon, Destination: "/"},
		"ssh":    {Server: ssh, Destination: behind["ssh"]},
	} {
		t.Run(name, func(t *testing.T) {
			options.Source, options.Flush, options.Timeout = dir, true, time.Minute
			var result rsync.Result
			for _, file := range names {
				options.Files = []string{file}
				if result, err = command.Run(t.Context(), options, rsync.Hooks{}); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("of %d bytes %d are in new frames: %d crossed", second.Size, second.Reuse.NewBytes, result.BytesCrossed)
			// Twice what is new, because blocks that are partly new cross as well, and checksums.
			if limit := min(2*second.Reuse.NewBytes, second.Size/10); result.BytesCrossed > limit {
				t.Errorf("of %d bytes %d are in new frames, and %d crossed", second.Size, second.Reuse.NewBytes, result.BytesCrossed)
			}
			same(t, filepath.Join(dir, names[1]), filepath.Join(behind[name], names[1]))
		})
	}
}

// same fails the test unless both files hold the same.
func same(t *testing.T, want, got string) {
	t.Helper()
	a, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(got); err != nil || !bytes.Equal(a, b) {
		t.Errorf("%s differs from %s: %v", got, want, err)
	}
}
