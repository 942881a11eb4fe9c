// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// tree is what a restored tree is compared by: for each path what every candidate brings back. GNU tar's own format has
// no fractions of seconds.
type tree map[string]node

type node struct {
	mode     uint32 // with the type
	uid, gid uint32
	seconds  int64 // of the modification time
	size     int64 // of regular files
	sha256   [sha256.Size]byte
}

// readTree reads the tree below root. The root itself isn't part of it.
func readTree(ctx context.Context, root string) (tree, error) {
	t := tree{}
	var lock sync.Mutex
	err := walk(ctx, root, func(path string, _ fs.DirEntry) error {
		if path == root {
			return nil
		}
		n, err := readNode(path)
		lock.Lock()
		defer lock.Unlock()
		t[strings.TrimPrefix(path, root+"/")] = n
		return err
	})
	return t, err
}

func readNode(path string) (node, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return node{}, fmt.Errorf("stat %s: %w", path, err)
	}
	n := node{mode: st.Mode, uid: st.Uid, gid: st.Gid, seconds: st.Mtim.Sec}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return n, nil
	}
	n.size = st.Size
	hash := sha256.New()
	if err := readTo(hash, path); err != nil {
		return n, err
	}
	hash.Sum(n.sha256[:0])
	return n, nil
}

// compare returns an error that names what differs first and how much does.
func compare(want, got tree) error {
	wrong := 0
	example := ""
	for path, n := range want {
		if other, ok := got[path]; !ok || other != n {
			wrong++
			example = fmt.Sprintf("%s is %+v, and was %+v", path, other, n)
			if !ok {
				example = path + " is missing"
			}
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			wrong++
			example = path + " was not in the source"
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d paths are not what was backed up; one: %s", wrong, len(want), example)
	}
	return nil
}

// files are what isn't a directory.
func (t tree) files() tree {
	files := tree{}
	for path, n := range t {
		if n.mode&unix.S_IFMT != unix.S_IFDIR {
			files[path] = n
		}
	}
	return files
}
