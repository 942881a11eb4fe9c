// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
	"github.com/klauspost/compress/zstd"
)

// The functions of this file make archives that the writer never would. They follow docs/archive-format.md alone.

// forgedEntry is an entry of a forged archive: what the index says, and what is in the stream.
type forgedEntry struct {
	index.Entry
	headers []byte // of the stream; made of the entry when nil
	data    []byte
	// continued says that the data is in frames of its own, of this size.
	continued int
}

// regular is an honest file.
func regular(path, content string) forgedEntry {
	return forgedEntry{data: []byte(content), Entry: index.Entry{
		Path: path, Type: index.Regular, Mode: 0o644, ModTime: index.Time{Sec: 1_600_000_000},
		Size: int64(len(content)), Data: int64(len(content)), SHA256: sha256.Sum256([]byte(content)),
	}}
}

// other is an honest entry without data.
func other(typ byte, path, link string) forgedEntry {
	return forgedEntry{Entry: index.Entry{
		Path: path, Type: typ, Mode: 0o755, Link: link, ModTime: index.Time{Sec: 1_600_000_000},
	}}
}

func directoryEntry(path string) forgedEntry { return other(index.Directory, path, "") }

// with changes an entry.
func (e forgedEntry) with(change func(*forgedEntry)) forgedEntry {
	change(&e)
	return e
}

// tarHeaders makes an entry's headers, with further pax records.
func tarHeaders(e *index.Entry, records ...string) []byte {
	name, size := e.Path, e.Data
	if e.Type == index.Directory {
		name += "/"
	}
	records = append(records, "path", name)
	if e.Link != "" {
		records = append(records, "linkpath", e.Link)
	}
	records = append(records, "size", fmt.Sprint(size), "uid", fmt.Sprint(e.UID), "gid", fmt.Sprint(e.GID),
		"mtime", fmt.Sprintf("%d.%09d", e.ModTime.Sec, e.ModTime.Nsec))
	var body []byte
	for i := 0; i < len(records); i += 2 {
		rest := len(records[i]) + len(records[i+1]) + 3
		n := rest + len(fmt.Sprint(rest))
		n = rest + len(fmt.Sprint(n))
		body = fmt.Appendf(body, "%d %s=%s\n", n, records[i], records[i+1])
	}
	out := ustar('x', int64(len(body)), 0o644)
	out = append(out, pad512(body)...)
	return append(out, ustar(e.Type, 0, e.Mode)...)
}

// ustar is a header block of which only these are said.
func ustar(typ byte, size int64, mode uint32) []byte {
	b := make([]byte, 512)
	copy(b, "x")
	copy(b[100:], fmt.Sprintf("%07o", mode))
	copy(b[124:], fmt.Sprintf("%011o", size))
	b[156] = typ
	copy(b[257:], "ustar\x0000")
	sum := 8 * 32
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

func pad512(b []byte) []byte { return append(b, make([]byte, tarstream.Padding(int64(len(b))))...) }

// forgery is an archive in the making.
type forgery struct {
	file   []byte
	blocks []index.Block
	refs   []index.BlockRef
	stream int64
}

// forge makes an archive of entries, all in one frame but for data that is continued, in one block per source.
func forge(t testing.TB, entries ...forgedEntry) []byte {
	t.Helper()
	return newForgery().add(t, entries...).finish(t)
}

func newForgery() *forgery {
	head := []byte{0x28, 0xB5, 0x2F, 0xFD, 0x20, 0, 1, 0, 0}
	text, _ := json.Marshal(archive.Header{Format: archive.Format, Policy: "orbit/forged"})
	return &forgery{file: padded(append(head, record('H', text)...))}
}

// record is a record without a tail.
func record(kind byte, body []byte) []byte {
	payload := append([]byte("ABOARCHV"), kind, 0)
	payload = binary.LittleEndian.AppendUint16(payload, archive.Format)
	payload = binary.LittleEndian.AppendUint32(payload, uint32(len(body)))
	payload = append(payload, body...)
	payload = binary.LittleEndian.AppendUint32(payload, crc32c(payload))
	out := binary.LittleEndian.AppendUint32(nil, 0x184D2A5A)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(payload)))
	return append(out, payload...)
}

func crc32c(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// padded fills up with a skippable frame.
func padded(b []byte) []byte {
	n := -len(b) & (index.Alignment - 1)
	if n == 0 {
		return b
	}
	if n < 8 {
		n += index.Alignment
	}
	b = binary.LittleEndian.AppendUint32(b, 0x184D2A50)
	b = binary.LittleEndian.AppendUint32(b, uint32(n-8))
	return append(b, make([]byte, n-8)...)
}

func compressed(b []byte) []byte {
	e, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return e.EncodeAll(b, nil)
}

// add adds a block for the entries of one source.
func (f *forgery) add(t testing.TB, entries ...forgedEntry) *forgery {
	t.Helper()
	var block index.Block
	ref := index.BlockRef{Data: int64(len(f.file)), Stream: f.stream, Source: index.SourceOf(entries[0].Path), First: entries[0].Path}
	var content []byte
	begun := 0
	flush := func() {
		if len(content) == 0 {
			return
		}
		stored := padded(compressed(content))
		block.Frames = append(block.Frames, index.Frame{
			Stored: int64(len(stored)), Content: int64(len(content)), CRC: crc32c(stored), Entries: begun,
		})
		f.file = append(f.file, stored...)
		ref.Content += int64(len(content))
		content, begun = nil, 0
	}
	for _, e := range entries {
		if e.headers == nil {
			e.headers = tarHeaders(&e.Entry)
		}
		if e.Headers == 0 {
			e.Headers = int64(len(e.headers))
		}
		content = append(content, e.headers...)
		block.Entries = append(block.Entries, e.Entry)
		begun++
		data := pad512(bytes.Clone(e.data))
		if e.continued == 0 {
			content = append(content, data...)
			continue
		}
		for flush(); len(data) > 0; flush() {
			n := min(len(data), e.continued)
			content, data = append(content, data[:n]...), data[n:]
		}
	}
	flush()
	ref.Stored = int64(len(f.file)) - ref.Data
	ref.Frames, ref.Entries = len(block.Frames), len(block.Entries)
	f.stream += ref.Content
	f.blocks, f.refs = append(f.blocks, block), append(f.refs, ref)
	return f
}

// end adds the end of the tar stream to the last block.
func (f *forgery) end() {
	stored := padded(compressed(make([]byte, 1024)))
	last := len(f.refs) - 1
	f.blocks[last].Frames = append(f.blocks[last].Frames, index.Frame{
		Stored: int64(len(stored)), Content: 1024, CRC: crc32c(stored),
	})
	f.refs[last].Frames++
	f.refs[last].Stored += int64(len(stored))
	f.refs[last].Content += 1024
	f.file = append(f.file, stored...)
}

// finish adds the index and all that comes after it.
func (f *forgery) finish(t testing.TB) []byte {
	t.Helper()
	f.end()
	text := func(kind byte, raw []byte) []byte {
		return record(kind, append(binary.LittleEndian.AppendUint32(nil, uint32(len(raw))), compressed(raw)...))
	}
	for i := range f.blocks {
		rec := text('I', index.AppendBlock(nil, &f.blocks[i]))
		f.refs[i].Offset, f.refs[i].Length = int64(len(f.file)), int64(len(rec))
		f.file = padded(append(f.file, rec...))
	}
	directory := text('D', index.AppendDirectory(nil, f.refs))
	at := len(f.file)
	f.file = append(f.file, directory...)
	summary, _ := json.Marshal(map[string]any{
		"complete": true, "directory": map[string]int{"offset": at, "length": len(directory)},
	})
	start := len(f.file)
	rec := record('S', summary)
	tail := append(binary.LittleEndian.AppendUint64(nil, uint64(start)), "ABOTAIL\n"...)
	binary.LittleEndian.PutUint32(rec[4:], uint32(len(rec)-8+len(tail)))
	return append(append(f.file, rec...), tail...)
}

// opened opens a forged archive.
func openForged(t testing.TB, file []byte) *archive.Archive {
	t.Helper()
	a, err := archive.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatalf("open the forged archive: %v", err)
	}
	return a
}

// ran is what a restore did.
type ran struct {
	Result
	warnings []Warning
}

func (r *ran) warned(kind Kind, path string) bool {
	for _, w := range r.warnings {
		if w.Kind == kind && w.Path == path {
			return true
		}
	}
	return false
}

func (r *ran) text() string {
	var b strings.Builder
	for _, w := range r.warnings {
		fmt.Fprintf(&b, "%s %q: %s\n", w.Kind, w.Path, w.Err)
	}
	return b.String()
}

// restore runs a restore.
func restoreInto(t testing.TB, a *archive.Archive, opts Options) (ran, error) {
	t.Helper()
	var out ran
	opts.Warn = func(w Warning) { out.warnings = append(out.warnings, w) }
	if opts.Concurrency == 0 {
		opts.Concurrency = 3
	}
	var err error
	out.Result, err = Run(t.Context(), a, opts)
	return out, err
}
