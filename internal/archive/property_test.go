// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/treetest"
	"golang.org/x/sys/unix"
)

// TestReuseNeverChangesTheContent makes random trees and changes them at random, run after run: whatever the order of
// events, an archive is what it would be if there were no other.
func TestReuseNeverChangesTheContent(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := &meddler{Rand: rand.New(rand.NewPCG(seed, 77)), t: t, root: filepath.Join(trustedDir(t), "source")}
			treetest.Build(t, m.root, treetest.Dir{Entries: mixed()})
			sources := []Source{{Name: "data", Path: m.root}}
			last := first(t, sources...)
			for range 5 {
				for range 1 + m.IntN(12) {
					m.meddle()
				}
				opts := Options{Concurrency: 1 + m.IntN(4), VerifyRuns: 1 + m.IntN(14)}
				if m.IntN(2) == 0 {
					began := time.Now()
					opts.now = func() time.Time { return began } // Much isn't settled.
				}
				if m.IntN(4) == 0 {
					groups, chunks, _ := last.frames(t)
					all := append(groups, chunks...)
					flip(t, last.path, all[m.IntN(len(all))].offset+50)
					opts.VerifyRuns = 1
				}
				last = after(t, last.path, opts, sources...)
				if t.Failed() {
					t.Fatalf("after %q", m.done)
				}
			}
		})
	}
}

// meddler changes a tree at random.
type meddler struct {
	*rand.Rand
	t    *testing.T
	root string
	done []string
}

// meddle does one thing to a random file.
func (m *meddler) meddle() {
	m.t.Helper()
	path, other := m.pick(), m.pick()
	what := m.IntN(13)
	var err error
	switch what {
	case 0:
		err = os.RemoveAll(path)
	case 1:
		err = os.Rename(path, other+"-renamed")
	case 2:
		err = os.Rename(path, other)
	case 3:
		err = os.Link(path, other+"-linked")
	case 4:
		err = os.Chmod(path, fs.FileMode(m.IntN(0o100)|0o600))
	case 5:
		err = treetest.SetModTime(path, time.Unix(m.Int64N(2e9), m.Int64N(1e9)))
	case 6:
		err = os.WriteFile(path, []byte(random(m.IntN(3000), m.Uint64())), 0o600)
	case 7:
		err = os.WriteFile(path+"-new", []byte(random(m.IntN(2<<20), m.Uint64())), 0o600)
	case 8:
		err = os.MkdirAll(path+"-d/e", 0o700)
	case 9:
		err = m.write(path, m.Int64N(4<<20))
	case 10:
		err = os.Truncate(path, m.Int64N(4<<20))
	case 11:
		err = unix.Lsetxattr(path, "user.x", []byte(fmt.Sprint(m.Uint64())), 0)
	case 12:
		err = m.writeAndSetBack(path)
	}
	m.done = append(m.done, fmt.Sprintf("%d %s %s: %v", what, path, other, err))
}

// pick chooses a file that isn't the root; the root's name if there is none.
func (m *meddler) pick() string {
	var paths []string
	_ = filepath.WalkDir(m.root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && path != m.root && len(path) < 1000 && (d.IsDir() || d.Type().IsRegular()) {
			paths = append(paths, path)
		}
		return nil
	})
	if len(paths) == 0 {
		return filepath.Join(m.root, "x")
	}
	// Not always one of the many small files.
	if few := m.IntN(len(paths)); m.IntN(2) == 0 {
		return paths[few%min(12, len(paths))]
	}
	return paths[m.IntN(len(paths))]
}

func (m *meddler) write(path string, offset int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(random(1+m.IntN(5000), m.Uint64())), offset)
	return errors.Join(err, f.Close())
}

// writeAndSetBack changes content, and neither size nor modification time.
func (m *meddler) writeAndSetBack(path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	if err := m.write(path, 0); err != nil {
		return err
	}
	return errors.Join(os.Truncate(path, info.Size()), treetest.SetModTime(path, info.ModTime()))
}
