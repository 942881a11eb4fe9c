// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

func sample() *Block {
	return &Block{
		Frames: []Frame{
			{Stored: 8192, Content: 3000, CRC: 0xdeadbeef, Age: 13, Entries: 4},
			{Stored: 4096, Content: 1 << 20, CRC: 1},
		},
		Entries: []Entry{
			{Path: "data", Type: Directory, Mode: 0o1755, UID: 1<<32 - 1, ModTime: Time{-5, 999_999_999}, ChangeTime: Time{7, 1}, Headers: 512},
			{Path: "data/b\xff", Type: Symlink, Mode: 0o777, Link: "../\xfe", Inode: 1<<64 - 1, Headers: 1536},
			{Path: "data/bc", Type: HardLink, Link: "data/a", Headers: 512, Flags: Settled},
			{Path: "data/d", Type: Regular, Size: 1 << 40, Data: 1 << 20, Flags: Sparse | Settled, Headers: 2048, SHA256: [32]byte{1, 31: 2}},
		},
	}
}

func TestBlockComesBack(t *testing.T) {
	var got Block
	for range 2 { // The second time into memory that has been used.
		if err := DecodeBlock(AppendBlock(nil, sample()), &got); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(*sample(), got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
}

func sampleDirectory() []BlockRef {
	return []BlockRef{
		{Offset: 16384, Length: 100, Data: 4096, Stored: 8192, Content: 3000, Frames: 2, Entries: 4, Source: "data", First: "data"},
		{Offset: 24576, Length: 50, Data: 20480, Stored: 4096, Stream: 3000, Content: 70, Frames: 1, Source: "data"},
		{Offset: 24700, Length: 50, Data: 24576, Stored: 0, Stream: 3070, Content: 1, Frames: 1, Entries: 9, Source: "logs", First: "logs/x"},
	}
}

func TestDirectoryComesBack(t *testing.T) {
	want := sampleDirectory()
	got, err := DecodeDirectory(AppendDirectory(nil, want), 30000)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestDirectoryRefusesWhatCannotBe(t *testing.T) {
	for name, change := range map[string]func([]BlockRef){
		"frames overlap":              func(b []BlockRef) { b[1].Data = 8192 },
		"records overlap":             func(b []BlockRef) { b[2].Offset = 24600 },
		"frames beyond the end":       func(b []BlockRef) { b[1].Stored = 1 << 40 },
		"record beyond the end":       func(b []BlockRef) { b[2].Length = 6000 },
		"record before its frames":    func(b []BlockRef) { b[0].Offset = 4096 },
		"a block without a frame":     func(b []BlockRef) { b[1].Frames = 0 },
		"a stream that is too long":   func(b []BlockRef) { b[0].Content, b[1].Content, b[2].Content = 1<<62, 1<<62, 1<<62 },
		"a record that holds nothing": func(b []BlockRef) { b[1].Length = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			blocks := sampleDirectory()
			change(blocks)
			if _, err := DecodeDirectory(AppendDirectory(nil, blocks), 30000); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, want ErrMalformed", err)
			}
		})
	}
}

func TestDecodingRefusesEveryTruncation(t *testing.T) {
	block, directory := AppendBlock(nil, sample()), AppendDirectory(nil, sampleDirectory())
	var b Block
	for n := range block {
		if err := DecodeBlock(block[:n], &b); !errors.Is(err, ErrMalformed) {
			t.Errorf("block cut to %d bytes: got %v, want ErrMalformed", n, err)
		}
	}
	for n := range directory {
		if _, err := DecodeDirectory(directory[:n], 30000); !errors.Is(err, ErrMalformed) {
			t.Errorf("directory cut to %d bytes: got %v, want ErrMalformed", n, err)
		}
	}
	if err := DecodeBlock(append(block, 0), &b); !errors.Is(err, ErrMalformed) {
		t.Errorf("block with a byte more: got %v, want ErrMalformed", err)
	}
	if _, err := DecodeDirectory(append(directory, 0), 30000); !errors.Is(err, ErrMalformed) {
		t.Errorf("directory with a byte more: got %v, want ErrMalformed", err)
	}
}

// A few bytes must not become gigabytes: each of these paths shares all but a byte with the one before it.
func TestBlockRefusesPathsThatGrowOutOfHand(t *testing.T) {
	b := &Block{Frames: []Frame{{Stored: 4096, Content: 1, Entries: MaxEntries}}}
	for range MaxEntries {
		b.Entries = append(b.Entries, Entry{Path: strings.Repeat("x", MaxPaths/MaxEntries+1), Type: Directory})
	}
	raw := AppendBlock(nil, b)
	if err := DecodeBlock(raw, b); !errors.Is(err, ErrMalformed) {
		t.Errorf("%d bytes: got %v, want ErrMalformed", len(raw), err)
	}
}

// The walk sorts the names in a directory by their bytes, and goes into each directory before the next name.
func TestCompareIsTheOrderOfTheWalk(t *testing.T) {
	paths := []string{"a", "a/b", "a/b/c", "a/b/d", "a/b-", "a/b.c", "a/bc", "a-", "a-/x", "a.b", "b", "b/\x01", "b/a"}
	walk := func(a, b string) int {
		return slices.CompareFunc(strings.Split(a, "/"), strings.Split(b, "/"), cmp.Compare)
	}
	for _, a := range paths {
		for _, b := range paths {
			if got, want := Compare(a, b), walk(a, b); got != want {
				t.Errorf("Compare(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
}

// Whatever the bytes are, decoding ends with a result or ErrMalformed, and what it takes for good it can write again.
func FuzzDecode(f *testing.F) {
	f.Add(AppendBlock(nil, sample()))
	f.Add(AppendDirectory(nil, sampleDirectory()))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b, again Block
		if err := DecodeBlock(raw, &b); err == nil {
			if err := DecodeBlock(AppendBlock(nil, &b), &again); err != nil {
				t.Errorf("a good block isn't good any more: %v", err)
			}
			if diff := gocmp.Diff(b, again); diff != "" {
				t.Errorf("-first +second\n%s", diff)
			}
		} else if !errors.Is(err, ErrMalformed) {
			t.Errorf("block: got %v, want ErrMalformed", err)
		}
		if _, err := DecodeDirectory(raw, 1<<40); err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("directory: got %v, want ErrMalformed", err)
		}
	})
}
