// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"fmt"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
	"github.com/google/go-cmp/cmp"
)

// indexed is a made-up archive that consists of an index alone.
type indexed struct {
	x      *indexer
	offset int64
}

func newIndexed(t *testing.T, sources ...string) *indexed {
	t.Helper()
	var summaries []SourceSummary
	for _, s := range sources {
		summaries = append(summaries, SourceSummary{Name: s})
	}
	x, err := newIndexer(summaries, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &indexed{x: x}
}

// add adds a frame with entries of the paths.
func (a *indexed) add(f *frame, paths ...string) {
	for _, path := range paths {
		f.entries = append(f.entries, index.Entry{Path: path, Type: index.Regular, Headers: blockSize})
	}
	f.info = index.Frame{Stored: index.Alignment, Content: blockSize, Entries: len(paths), CRC: uint32(a.offset / index.Alignment)}
	f.offset = a.offset
	a.offset += index.Alignment
	a.x.add(f)
}

// archive is what a reader finds.
func (a *indexed) archive(t *testing.T) *Archive {
	t.Helper()
	a.x.finish()
	records := a.x.takeRecords(a.offset, 1)
	if a.x.err != nil {
		t.Fatal(a.x.err)
	}
	file := append(make([]byte, a.offset), records...)
	// The directory refuses what can't be.
	blocks, err := index.DecodeDirectory(index.AppendDirectory(nil, a.x.refs), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return &Archive{r: bytes.NewReader(file), size: int64(len(file)), blocks: blocks, decoder: NewDecoder(1)}
}

// TestABigFileBelongsToItsEntry: its frames may go on through several blocks, whether its hash is known from the
// beginning or not.
func TestABigFileBelongsToItsEntry(t *testing.T) {
	for name, opens := range map[string]bool{"read": true, "taken over": false} {
		t.Run(name, func(t *testing.T) {
			a := newIndexed(t, "data")
			const chunks = 4*index.MaxFrames + 10
			a.add(&frame{opens: opens}, "data/a", "data/big")
			for i := range chunks {
				f := &frame{in: []byte("xy"), chunk: chunk{size: 2, last: i == chunks-1, hashed: opens}}
				if opens {
					f.chunk.content = &content{}
				}
				a.add(f)
			}
			a.add(&frame{}, "data/c")
			a.add(&frame{end: true})
			p := previous{archive: a.archive(t)}
			if n := len(p.archive.blocks); n < 3 {
				t.Errorf("%d blocks", n)
			}
			c := p.cursorOf("data", func(err error) { t.Error(err) })
			if old, ok := c.find("data/big"); !ok || old.ordinal != 1 || old.frame.offset != 0 {
				t.Fatalf("%+v, %t", old, ok)
			}
			for i := range chunks {
				if f, ok := c.nextChunk(); !ok || f.offset != int64(i+1)*index.Alignment || f.CRC != uint32(i+1) {
					t.Fatalf("chunk %d: %+v, %t", i, f, ok)
				}
			}
			for range 2 {
				if f, ok := c.nextChunk(); ok {
					t.Errorf("a chunk too many: %+v", f)
				}
			}
			if old, ok := c.find("data/c"); !ok || old.ordinal != 0 || old.frame.offset != (chunks+1)*index.Alignment {
				t.Errorf("%+v, %t", old, ok)
			}
		})
	}
}

// TestTheFramesOfOneHugeFileTakeLittleMemory: none of them can be written before the file's entry, which is complete only
// at its end.
func TestTheFramesOfOneHugeFileTakeLittleMemory(t *testing.T) {
	a := newIndexed(t, "data")
	a.add(&frame{opens: true}, "data/big")
	const chunks = 50 * index.MaxFrames
	f := &frame{chunk: chunk{content: &content{}}}
	for range chunks {
		a.add(f)
		if n := len(a.x.block.Frames) + len(a.x.rest.Frames); n > 2*index.MaxFrames {
			t.Fatalf("%d frames are held", n)
		}
	}
	if n := len(a.x.held.records); n > 8*chunks {
		t.Errorf("%d bytes are held for %d frames", n, chunks)
	}
}

func TestTheCursorKeepsStepWithTheWalk(t *testing.T) {
	a := newIndexed(t, "data", "logs")
	var want []string
	place := map[string]oldEntry{}
	for i := 0; i < 5*blockEntries; i += 3 {
		paths := []string{fmt.Sprintf("data/%06d", i), fmt.Sprintf("data/%06d", i+1), fmt.Sprintf("data/%06d", i+2)}
		for j, path := range paths {
			place[path] = oldEntry{frame: oldFrame{offset: a.offset}, ordinal: j}
		}
		want = append(want, paths...)
		a.add(&frame{}, paths...)
	}
	a.add(&frame{source: 1}, "logs", "logs/x")
	p := previous{archive: a.archive(t)}
	for step := 1; step < 3*blockEntries; step = step*3 + 1 {
		c := p.cursorOf("data", func(err error) { t.Error(err) })
		for i := 0; i < len(want); i += step {
			if _, ok := c.find(want[i][:len(want[i])-1] + "\x01"); ok {
				t.Fatal("found what isn't there")
			}
			old, ok := c.find(want[i])
			if !ok || old.Path != want[i] || old.ordinal != place[want[i]].ordinal || old.frame.offset != place[want[i]].frame.offset {
				t.Fatalf("step %d: %s: %+v, %t", step, want[i], old, ok)
			}
		}
		if _, ok := c.find("data/z"); ok {
			t.Error("found what is behind the end")
		}
	}
	logs := p.cursorOf("logs", func(err error) { t.Error(err) })
	if _, ok := logs.find("logs/x"); !ok {
		t.Error("the second source isn't found")
	}
	if _, ok := p.cursorOf("data2", nil).find("data2/x"); ok {
		t.Error("a source that isn't there is found")
	}
	var none *previous
	if _, ok := none.cursorOf("data", nil).find("data"); ok {
		t.Error("something is found without a previous archive")
	}
}

// TestAMissingBlockDoesNotLeadAstray: the frames after it belong to another part of the file.
func TestAMissingBlockDoesNotLeadAstray(t *testing.T) {
	a := newIndexed(t, "data")
	a.add(&frame{}, "data/big")
	for range 3 * blockFrames {
		a.add(&frame{})
	}
	p := previous{archive: a.archive(t)}
	p.archive.blocks[1].Length--
	damaged := 0
	c := p.cursorOf("data", func(error) { damaged++ })
	if _, ok := c.find("data/big"); !ok {
		t.Fatal("not found")
	}
	chunks := 0
	for range 3 * blockFrames {
		if f, ok := c.nextChunk(); ok {
			if chunks++; f.offset != int64(chunks)*index.Alignment {
				t.Fatalf("chunk %d is taken from %d", chunks, f.offset)
			}
		}
	}
	if damaged != 1 || chunks == 0 || chunks >= blockFrames {
		t.Errorf("%d chunks, %d damaged blocks", chunks, damaged)
	}
}

func TestRecordsBetweenFrames(t *testing.T) {
	a := newIndexed(t, "data")
	for i := range 3 * blockEntries {
		a.add(&frame{}, fmt.Sprintf("data/%06d", i))
		if i == 2*blockEntries {
			if a.x.takeRecords(a.offset, 1<<30) != nil {
				t.Error("there are fewer")
			}
			records := a.x.takeRecords(a.offset, 1)
			if len(records) == 0 || len(records)%index.Alignment != 0 {
				t.Errorf("%d bytes of records", len(records))
			}
			a.offset += int64(len(records))
		}
	}
	a.x.finish()
	a.x.takeRecords(a.offset, 1)
	blocks, err := index.DecodeDirectory(index.AppendDirectory(nil, a.x.refs), 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	// A block's frames must follow each other.
	for i, b := range blocks {
		if b.Stored != int64(b.Frames)*index.Alignment {
			t.Errorf("block %d: %+v", i, b)
		}
	}
}

func TestChecksumLines(t *testing.T) {
	sum := "0100000000000000000000000000000000000000000000000000000000000002"
	for name, test := range map[string]struct {
		entry index.Entry
		want  string
	}{
		"file":      {index.Entry{Path: "data/a b", Type: index.Regular}, sum + "  data/a b\n"},
		"bytes":     {index.Entry{Path: "data/\xff", Type: index.Regular}, sum + "  data/\xff\n"},
		"escaped":   {index.Entry{Path: "data/\\\n\r", Type: index.Regular}, `\` + sum + `  data/\\\n\r` + "\n"},
		"flawed":    {index.Entry{Path: "data/f", Type: index.Regular, Flags: index.Flawed}, "# incomplete, not listed: data/f\n"},
		"sparse":    {index.Entry{Path: "data/a\nb", Type: index.Regular, Flags: index.Sparse}, "# sparse, not listed: data/a\\nb\n"},
		"link":      {index.Entry{Path: "data/a", Type: index.HardLink}, ""},
		"directory": {index.Entry{Path: "data", Type: index.Directory}, ""},
	} {
		test.entry.SHA256 = [32]byte{1, 31: 2}
		if diff := cmp.Diff(test.want, string(appendChecksum(nil, &test.entry))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
