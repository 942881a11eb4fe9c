// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/treetest"
	"golang.org/x/sys/unix"
)

// randomTree is a tree of files of sizes around all limits, with and without holes, and of links to them.
func randomTree(random *rand.Rand, depth int) treetest.Entries {
	sizes := []int64{0, 1, 511, 512, 513, 4096, 200 << 10, 512<<10 - 1, 512 << 10, 512<<10 + 1, 1 << 20, 1<<20 + 1, 3 << 20, 10 << 20}
	tree := treetest.Entries{}
	for i := range 2 + random.IntN(12) {
		size := sizes[random.IntN(len(sizes))]
		var e treetest.Node = treetest.File{Content: treetest.Random(int(min(size, 3<<20)), random.Uint64())}
		switch kind := random.IntN(6); {
		case kind == 0:
			e = treetest.Sparse{Size: size}
		case kind == 1:
			e = treetest.Sparse{Size: size << random.IntN(12)}
		case kind == 2:
			data := map[int64]string{random.Int64N(size+1) &^ 4095: treetest.Random(random.IntN(5000), 1)}
			e = treetest.Sparse{Size: size + 10<<20, Data: data}
		case kind == 3 && depth > 0:
			e = treetest.Dir{Entries: randomTree(random, depth-1)}
		}
		tree[fmt.Sprintf("%02d", i)] = e
	}
	return tree
}

// TestAnUnchangedTreeIsReusedWithoutAnAlarm: whatever is in it, a second run finds no damage and reads no source.
func TestAnUnchangedTreeIsReusedWithoutAnAlarm(t *testing.T) {
	trees := []treetest.Entries{{"hole": treetest.Sparse{Size: 10 << 20}}, corpus().Entries}
	for seed := range uint64(12) {
		trees = append(trees, randomTree(rand.New(rand.NewPCG(seed, 5)), 2))
	}
	for i, tree := range trees {
		source := trusted(t, tree)
		last := first(t, source)
		for _, runs := range []int{1, 28} {
			w := after(t, last.path, Options{now: later, VerifyRuns: runs}, source)
			counts := w.result.Summary.Warnings
			if counts.Damaged+counts.NotReused > 0 || w.result.Reuse.NewBytes > index.Alignment {
				t.Errorf("tree %d: %+v, %+v, warnings %+v", i, counts, w.result.Reuse, w.warnings)
			}
			last = w
		}
	}
}

// TestOnlyDamageIsCalledDamage: storage that can't be reached for a moment isn't damaged.
func TestOnlyDamageIsCalledDamage(t *testing.T) {
	for _, c := range []struct {
		err  error
		want WarningKind
	}{
		{fmt.Errorf("x: %w", ErrDamaged), Damaged}, {ErrTruncated, Damaged}, {unix.EIO, Damaged}, {io.EOF, Damaged},
		{unix.ESTALE, NotReused}, {unix.ETIMEDOUT, NotReused}, {unix.EACCES, NotReused},
		{&distrustedError{"data/x", errors.New("it has changed meanwhile")}, NotReused},
		{fmt.Errorf("%w: %w", errPrevious, errChanged), Damaged}, {fmt.Errorf("%w: %w", errPrevious, unix.ESTALE), NotReused},
	} {
		if got := troubleKind(c.err); got != c.want {
			t.Errorf("%v is %s, want %s", c.err, got, c.want)
		}
	}
}
