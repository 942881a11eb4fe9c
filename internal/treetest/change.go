// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package treetest

import (
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Change changes some of what is in the last quarter of a tree, the same for the same tree: files are written to,
// replaced, removed, and given other modes and times, names come and go, and the rest stays as it was.
func Change(t testing.TB, root string) {
	t.Helper()
	var files, directories []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			directories = append(directories, path)
		case d.Type().IsRegular():
			files = append(files, path)
		}
		return nil
	})
	for _, path := range lastQuarter(files) {
		if err == nil {
			err = changeFile(path, share(root, path))
		}
	}
	for _, path := range lastQuarter(directories) {
		if err == nil && share(root, path)%8 == 0 && len(path) < unix.PathMax-64 {
			err = os.WriteFile(filepath.Join(path, "a new file"), []byte(path), 0o640)
		}
	}
	if err == nil {
		err = os.MkdirAll(filepath.Join(root, "new", "directory"), 0o700)
	}
	if err != nil {
		t.Fatalf("change tree: %v", err)
	}
}

func lastQuarter(paths []string) []string { return paths[len(paths)*3/4:] }

// share is a number that depends on the path in the tree alone.
func share(root, path string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(path[len(root):]))
	return h.Sum32() / 7
}

// changeFile does one thing or another to a file, or nothing.
func changeFile(path string, what uint32) error {
	switch what % 12 {
	case 0:
		return os.Remove(path)
	case 1:
		return os.WriteFile(path, []byte("written anew"), 0o600)
	case 2:
		return appendTo(path, "and a line more\n")
	case 3:
		return replace(path)
	case 4:
		return os.Chmod(path, 0o604)
	case 5:
		return SetModTime(path, time.Unix(1_650_000_000, 77))
	case 6:
		return os.Rename(path, filepath.Join(filepath.Dir(path), "renamed"))
	default:
		return nil
	}
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// replace gives the name to another file of the same size and time.
func replace(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	other := filepath.Join(filepath.Dir(path), "r")
	if err := os.WriteFile(other, []byte(Random(int(min(info.Size(), 4<<20)), 1234)), 0o640); err != nil {
		return err
	}
	if err := SetModTime(other, info.ModTime()); err != nil {
		return err
	}
	return os.Rename(other, path)
}
