// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/treetest"
	"golang.org/x/sys/unix"
)

// wreck is a small archive that is to be damaged, and what is in which of its frames.
type wreck struct {
	content []byte
	frames  []wreckedFrame
	target  string // on a file system in memory
}

type wreckedFrame struct {
	from, to int64             // without padding
	files    map[string]string // content by path, of the files of which something is in it
}

// newWreck makes an archive of two sources, with a file in several frames.
func newWreck(t *testing.T) *wreck {
	t.Helper()
	root := t.TempDir()
	sessions := dir{Entries: entries{"big": file{Content: treetest.Random(600<<10, 7)}, "later": file{Content: "later"}}}
	treetest.Build(t, filepath.Join(root, "data"), library())
	treetest.Build(t, filepath.Join(root, "sessions"), sessions)
	path, a := archived(t, archive.Source{Name: "data", Path: filepath.Join(root, "data")},
		archive.Source{Name: "sessions", Path: filepath.Join(root, "sessions")})
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w := &wreck{content: content, target: t.TempDir()}
	if err := unix.Mount("tmpfs", w.target, "tmpfs", 0, ""); err != nil {
		t.Fatalf("mount: %v (the tests run as root)", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(w.target, unix.MNT_DETACH) })
	w.describe(t, a, root)
	return w
}

// describe finds what is in which frame.
func (w *wreck) describe(t *testing.T, a *archive.Archive, root string) {
	t.Helper()
	var block index.Block
	last := ""
	for i, ref := range a.Blocks() {
		if err := a.ReadBlock(i, &block); err != nil {
			t.Fatal(err)
		}
		offset, first := ref.Data, 0
		for _, f := range block.Frames {
			here := wreckedFrame{from: offset, to: offset + f.Stored, files: map[string]string{}}
			paths := []string{last}
			if f.Entries > 0 || f.Content == endOfStream {
				paths = nil
				for _, e := range block.Entries[first : first+f.Entries] {
					if last = e.Path; e.Type == index.Regular {
						paths = append(paths, e.Path)
					}
				}
			}
			for _, path := range paths {
				content, err := os.ReadFile(filepath.Join(root, path))
				if err == nil {
					here.files[path] = string(content)
				}
			}
			for here.to > here.from && w.content[here.to-1] == 0 {
				here.to-- // Padding is zeros. Its own head is taken for a part of the frame.
			}
			w.frames = append(w.frames, here)
			offset, first = offset+f.Stored, first+f.Entries
		}
	}
}

// restore restores what can be restored of a damaged copy.
func (w *wreck) restore(t *testing.T, content []byte, into string) (ran, error) {
	t.Helper()
	r, size := bytes.NewReader(content), int64(len(content))
	a, err := archive.Open(r, size)
	if err != nil {
		a, err = archive.Salvage(t.Context(), r, size)
	}
	if err != nil {
		return ran{}, err
	}
	return restoreInto(t, a, Options{Target: into, Concurrency: 1})
}

// check restores a damaged copy, and fails if a file is missing whose frames are all whole. It returns what was said.
func (w *wreck) check(t *testing.T, name string, content []byte, whole func(wreckedFrame) bool) (ran, error) {
	t.Helper()
	into := filepath.Join(w.target, "restored")
	defer os.RemoveAll(into)
	got, err := w.restore(t, content, into)
	lost := map[string]bool{}
	for _, f := range w.frames {
		for path := range f.files {
			lost[path] = lost[path] || !whole(f)
		}
	}
	for _, f := range w.frames {
		for path, want := range f.files {
			have, readErr := os.ReadFile(filepath.Join(into, path))
			if !lost[path] && (readErr != nil || string(have) != want) {
				t.Errorf("%s: %s isn't restored: %v; %+v, %v\n%s", name, path, readErr, got.Result, err, got.text())
			}
			if lost[path] && readErr == nil && string(have) != want {
				t.Errorf("%s: %s is restored with another content", name, path)
			}
			if lost[path] && readErr != nil && err == nil && got.Complete() {
				t.Errorf("%s: %s is missing, and nothing is said", name, path)
			}
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return got, err
}

// TestADamagedByteCostsWhatIsInItsFrame flips a bit of each byte but zeros of padding, of which it takes a few.
func TestADamagedByteCostsWhatIsInItsFrame(t *testing.T) {
	w := newWreck(t)
	damaged := bytes.Clone(w.content)
	for i := range w.content {
		at := int64(i)
		inside := func(f wreckedFrame) bool { return at >= f.from && at < f.to }
		within := false
		for _, f := range w.frames {
			within = within || inside(f)
		}
		if (within || w.content[i] == 0 && w.content[max(0, i-1)] == 0) && i%1021 != 0 {
			continue
		}
		damaged[i] ^= 1 << (i % 8)
		_, _ = w.check(t, fmt.Sprintf("byte %d of %d", i, len(damaged)), damaged, func(f wreckedFrame) bool { return !inside(f) })
		damaged[i] = w.content[i]
	}
}

// TestATruncatedArchiveIsRestoredUpToThere cuts it at each byte behind the frames, and at some in them.
func TestATruncatedArchiveIsRestoredUpToThere(t *testing.T) {
	w := newWreck(t)
	behind := w.frames[len(w.frames)-1].to
	for length := len(w.content) - 1; length > 0; length-- {
		if int64(length) < behind && length%1019 != 0 || int64(length) > behind && w.content[length-1] == 0 && length%101 != 0 {
			continue
		}
		got, err := w.check(t, fmt.Sprintf("%d bytes of %d", length, len(w.content)), w.content[:length],
			func(f wreckedFrame) bool { return f.to <= int64(length) })
		// The seek table isn't needed.
		_, openErr := archive.Open(bytes.NewReader(w.content), int64(length))
		if err == nil && got.Complete() && openErr != nil {
			t.Fatalf("%d bytes of %d are called complete", length, len(w.content))
		}
	}
}

func TestAnArchiveWithSomethingBehindItIsRestored(t *testing.T) {
	w := newWreck(t)
	random := rand.New(rand.NewPCG(8, 9))
	for _, n := range []int{1, 4, 8, 9, 16, 17, 4096, 10_000} {
		for name, garbage := range map[string][]byte{
			"zeros": make([]byte, n), "random": []byte(treetest.Random(n, random.Uint64())),
			"the archive again": w.content[:min(n, len(w.content))],
		} {
			got, err := w.check(t, fmt.Sprintf("%d bytes of %s", n, name), append(bytes.Clone(w.content), garbage...),
				func(wreckedFrame) bool { return true })
			if err != nil || !got.Damaged || got.Lost > 0 {
				t.Errorf("%d bytes of %s: %+v, %v\n%s", n, name, got.Result, err, got.text())
			}
		}
	}
}

// TestTwoDamagesCostWhatIsInTheirFrames damages the end of the archive, so that the index can't be found, and each frame.
func TestTwoDamagesCostWhatIsInTheirFrames(t *testing.T) {
	w := newWreck(t)
	damaged := bytes.Clone(w.content)
	damaged[len(damaged)-1] ^= 1
	for _, broken := range w.frames {
		for _, at := range []int64{broken.from, broken.from + 5, (broken.from + broken.to) / 2} {
			damaged[at] ^= 0x10
			got, err := w.check(t, fmt.Sprintf("frame at %d", broken.from), damaged,
				func(f wreckedFrame) bool { return f.from != broken.from })
			if err != nil || !got.Damaged || got.Lost == 0 && len(broken.files) > 0 {
				t.Errorf("frame at %d: %+v, %v\n%s", broken.from, got.Result, err, got.text())
			}
			damaged[at] ^= 0x10
		}
	}
}

// TestAStrangersFileIsNotSalvaged: what isn't an archive isn't taken for a damaged one.
func TestAStrangersFileIsNotSalvaged(t *testing.T) {
	for name, content := range map[string][]byte{
		"nothing": nil, "text": []byte(strings.Repeat("some text\n", 1000)), "zeros": make([]byte, 20_000),
		"a zstd file": padded(append(make([]byte, 4096), compressed(pad512([]byte("x")))...)),
	} {
		_, err := archive.Salvage(t.Context(), bytes.NewReader(content), int64(len(content)))
		if !errors.Is(err, archive.ErrNotArchive) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWhatIsFoundBehindADamageIsNotTakenFromAFile: a file that is an archive itself must not be taken for a part of the
// one that it is in.
func TestWhatIsFoundBehindADamageIsNotTakenFromAFile(t *testing.T) {
	inner := forge(t, directoryEntry("data"), regular("data/zzz", "planted"))
	planted := regular("data/zzz", "planted")
	stream := append(tarHeaders(&planted.Entry), pad512([]byte("planted"))...)
	for len(stream) < 20_000 {
		stream = append(stream, stream...)
	}
	for name, content := range map[string][]byte{"an archive": inner, "a tar stream": stream} {
		big := regular("data/big", string(content)).with(func(e *forgedEntry) { e.continued = 4096 })
		file := newForgery().add(t, directoryEntry("data"), big).finish(t)
		file[len(file)-1] ^= 1
		file[4096+5] ^= 1 // The frame in which the file begins.
		a, err := archive.Salvage(t.Context(), bytes.NewReader(file), int64(len(file)))
		if err != nil {
			continue // There is nothing else in it.
		}
		target := t.TempDir()
		got, err := restoreInto(t, a, Options{Target: target})
		if _, statErr := os.Lstat(filepath.Join(target, "data", "zzz")); statErr == nil {
			t.Errorf("%s: what is in a file is restored: %+v, %v", name, got, err)
		}
	}
}
