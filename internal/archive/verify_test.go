// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/treetest"
)

// verified is what Verify found.
type verified struct {
	Verification
	problems []Problem
}

// affects tells whether a problem names a path.
func (v *verified) affects(path string) bool {
	return slices.ContainsFunc(v.problems, func(p Problem) bool { return slices.Contains(p.Paths, path) })
}

func (v *verified) text() string {
	var b strings.Builder
	for _, p := range v.problems {
		fmt.Fprintf(&b, "%d+%d: %s %q\n", p.Offset, p.Length, p.Err, p.Paths)
	}
	return b.String()
}

func verify(t testing.TB, file []byte) (verified, error) {
	t.Helper()
	var v verified
	var err error
	v.Verification, err = Verify(t.Context(), bytes.NewReader(file), int64(len(file)), VerifyOptions{
		Concurrency: 3, Problem: func(p Problem) { v.problems = append(v.problems, p) },
	})
	if v.Problems != int64(len(v.problems)) {
		t.Errorf("%d problems counted, %d told", v.Problems, len(v.problems))
	}
	return v, err
}

func contentOf(t testing.TB, w written) []byte {
	t.Helper()
	content, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// smallTree has entries of most kinds, and a file in several frames.
func smallTree(big int) treetest.Dir {
	return treetest.Dir{Entries: treetest.Entries{
		"big":    treetest.File{Content: random(big, 1)},
		"dir":    treetest.Dir{Entries: treetest.Entries{"file": treetest.File{Content: "hello\n"}}},
		"link":   treetest.Symlink{Target: "dir/file"},
		"second": treetest.HardLink{To: "big"},
		"sparse": treetest.Sparse{Size: 1 << 20, Data: map[int64]string{8192: "data"}},
	}}
}

func TestAGoodArchiveVerifies(t *testing.T) {
	one, two := built(t, corpus()), built(t, smallTree(3<<20))
	w := write(t, Options{}, Source{Name: "data", Path: one}, Source{Name: "logs", Path: two})
	got, err := verify(t, contentOf(t, w))
	if err != nil || got.Problems > 0 {
		t.Fatalf("%v\n%s", err, got.text())
	}
	if s := w.result.Summary; got.Entries != s.Entries || got.Files != s.Files || got.Bytes != w.result.Size {
		t.Errorf("%+v of %+v", got.Verification, s)
	}
}

// mustFind fails the test unless something is found to be wrong.
func mustFind(t *testing.T, file []byte, format string, args ...any) verified {
	t.Helper()
	got, err := verify(t, file)
	if err == nil && got.Problems == 0 {
		t.Errorf(format+" is not found", args...)
	}
	if err != nil && !errors.Is(err, ErrNotArchive) && !errors.Is(err, ErrFutureFormat) && !errors.Is(err, ErrNoIndex) {
		t.Errorf(format+": %v", append(args, err)...)
	}
	return got
}

// TestEveryFlippedBitIsFound flips a bit of each byte in turn, a different one each time: each bit of a byte is like the
// others to a checksum.
func TestEveryFlippedBitIsFound(t *testing.T) {
	file := contentOf(t, write(t, Options{}, Source{Name: "data", Path: built(t, treetest.Dir{Entries: treetest.Entries{
		"dir": treetest.Dir{Entries: treetest.Entries{"file": treetest.File{Content: "hello\n"}}},
	}})}))
	for i := range file {
		file[i] ^= 1 << (i % 8)
		mustFind(t, file, "a flipped bit at %d", i)
		file[i] ^= 1 << (i % 8)
	}
}

func TestEveryTruncationIsFound(t *testing.T) {
	file := contentOf(t, write(t, Options{}, Source{Name: "data", Path: built(t, treetest.Dir{Entries: treetest.Entries{
		"file": treetest.File{Content: "hello\n"},
	}})}))
	for n := range file {
		mustFind(t, file[:n], "a truncation to %d", n)
	}
	mustFind(t, append(slices.Clone(file), 0), "a byte too much")
}

// TestDamageNamesTheFiles flips bits here and there in a bigger archive.
func TestDamageNamesTheFiles(t *testing.T) {
	file := contentOf(t, write(t, Options{}, Source{Name: "data", Path: built(t, smallTree(5<<20))}))
	a, err := Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var b index.Block
	if err := a.ReadBlock(0, &b); err != nil {
		t.Fatal(err)
	}
	next := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		at := next.IntN(len(file))
		was := file[at]
		file[at] ^= 1 << next.IntN(8)
		got := mustFind(t, file, "a flipped bit at %d", at)
		file[at] = was
		offset, first := a.blocks[0].Data, 0
		for _, f := range b.Frames {
			inside := int64(at) >= offset && int64(at) < offset+f.Stored
			for i := range b.Entries[first : first+f.Entries] {
				if path := b.Entries[first+i].Path; inside && !got.affects(path) {
					t.Errorf("a flipped bit at %d, and %q isn't named:\n%s", at, path, got.text())
				}
			}
			if first += f.Entries; inside && f.Entries == 0 && f.Content > 1024 && !got.affects("data/big") {
				t.Errorf("a flipped bit at %d, and the big file isn't named:\n%s", at, got.text())
			}
			offset += f.Stored
		}
	}
}
