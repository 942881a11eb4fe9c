// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
)

var testHeader = Header{
	Policy: "orbit/appliance", Run: "appliance-29312", Tool: "backup-operator test",
	CreatedAt: time.Date(2026, 11, 22, 5, 0, 0, 0, time.FixedZone("", -3*3600)),
}

// smallArchive is the bytes of an archive without its seek table, and what was said when it was written.
func smallArchive(t testing.TB) ([]byte, Result) {
	t.Helper()
	root := built(t, treetest.Dir{Entries: treetest.Entries{"f": treetest.File{Content: "content"}}})
	w := write(t, Options{Header: testHeader}, Source{Name: "data", Path: root})
	file, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	end, err := endOfSummary(bytes.NewReader(file), int64(len(file)))
	if err != nil || end == int64(len(file)) {
		t.Fatalf("there is no seek table: error %v", err)
	}
	return file[:end], w.result
}

func readInfo(file []byte) (Info, error) {
	return ReadInfo(bytes.NewReader(file), int64(len(file)))
}

func TestReadInfoGivesWhatWriteSaid(t *testing.T) {
	file, result := smallArchive(t)
	want := Info{Header: testHeader, Summary: result.Summary}
	want.Header.Format, want.Header.Level = Format, DefaultLevel
	want.Header.CreatedAt = testHeader.CreatedAt.UTC()
	got, err := readInfo(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}
}

// countingReader counts what is read.
type countingReader struct {
	r io.ReaderAt
	n int64
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	c.n += int64(len(p))
	return c.r.ReadAt(p, off)
}

func TestReadInfoReadsHeadAndTailOnly(t *testing.T) {
	root := built(t, treetest.Dir{Entries: treetest.Entries{"f": treetest.File{Content: random(8<<20, 1)}}})
	w := write(t, Options{Header: testHeader}, Source{Name: "data", Path: root})
	f, err := os.Open(w.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := &countingReader{r: f}
	if _, err := ReadInfo(c, w.result.Size); err != nil || c.n > 4096 {
		t.Errorf("error %v, %d bytes read", err, c.n)
	}
}

func TestReadInfoRefusesEveryTruncation(t *testing.T) {
	file, _ := smallArchive(t)
	for n := range file {
		info, err := readInfo(file[:n])
		switch {
		case errors.Is(err, ErrNotArchive) && n < len(preamble)+skippableSize+recordHeader:
		case errors.Is(err, ErrTruncated) && n >= len(preamble)+skippableSize+recordHeader:
			if n > 400 && info.Header.Policy != testHeader.Policy {
				t.Errorf("cut to %d bytes, the header is lost: %+v", n, info.Header)
			}
		default:
			t.Errorf("cut to %d bytes: error %v", n, err)
		}
	}
}

func TestReadInfoRefusesFlippedBitsInRecords(t *testing.T) {
	file, result := smallArchive(t)
	good, err := readInfo(file)
	if err != nil {
		t.Fatal(err)
	}
	summary := int(result.Summary.BytesWritten)
	headEnd := len(preamble) + skippableSize + int(binary.LittleEndian.Uint32(file[len(preamble)+4:]))
	for i := range file {
		if i >= headEnd && i < summary {
			continue
		}
		for bit := range 8 {
			bad := bytes.Clone(file)
			bad[i] ^= 1 << bit
			if info, err := readInfo(bad); err == nil && !cmp.Equal(info, good) {
				t.Errorf("bit %d of byte %d flipped is believed: %+v", bit, i, info)
			} else if err == nil && i >= len(preamble)+skippableSize {
				t.Errorf("bit %d of byte %d flipped isn't noticed", bit, i)
			}
		}
	}
}

func TestReadInfoTellsStrangersAndFutureFormats(t *testing.T) {
	file, result := smallArchive(t)
	future := bytes.Clone(file)
	version := skippableSize + len(signature) + 2
	future[len(preamble)+version]++
	damaged := bytes.Clone(future)
	future[int(result.Summary.BytesWritten)+version]++
	// As a later version may do it: the record's form has changed too.
	changed := bytes.Clone(future)
	changed[len(preamble)+skippableSize+recordHeader] ^= 0xff
	zero := make([]byte, 1<<20)
	tests := map[string]struct {
		file []byte
		want error
	}{
		"empty":                        {nil, ErrNotArchive},
		"zeros":                        {zero, ErrNotArchive},
		"text":                         {bytes.Repeat([]byte("a stranger's file\n"), 1000), ErrNotArchive},
		"a zstd file":                  {file[len(preamble):], ErrNotArchive},
		"future":                       {future, ErrFutureFormat},
		"future of another form":       {changed, ErrFutureFormat},
		"a damaged version":            {damaged, ErrTruncated},
		"a damaged preamble":           {append([]byte{0}, file[1:]...), ErrTruncated},
		"zeros at the end":             {append(bytes.Clone(file), zero...), ErrTruncated},
		"two archives":                 {append(bytes.Clone(file), file...), ErrTruncated},
		"end of another archive's":     {append(bytes.Clone(file[:300]), file[len(file)-300:]...), ErrTruncated},
		"seek table that doesn't fit":  {withSeekTable(file, 1<<30), ErrTruncated},
		"seek table of the wrong size": {withSeekTable(file, 3)[:len(file)+10], ErrTruncated},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := readInfo(test.file); !errors.Is(err, test.want) {
				t.Errorf("got error %v, want %v", err, test.want)
			}
		})
	}
}

// withSeekTable appends a table of the zstd seekable format with two entries, which says that it has n.
func withSeekTable(file []byte, n uint32) []byte {
	le := binary.LittleEndian
	file = le.AppendUint32(bytes.Clone(file), 0x184D2A5E)
	file = le.AppendUint32(file, 2*8+seekFooterSize)
	file = append(file, make([]byte, 2*8)...)
	file = le.AppendUint32(file, n)
	return le.AppendUint32(append(file, 0), seekMagic)
}

func TestReadInfoPassesOverASeekTable(t *testing.T) {
	file, result := smallArchive(t)
	info, err := readInfo(withSeekTable(file, 2))
	if err != nil || info.Summary.Entries != result.Summary.Entries {
		t.Errorf("error %v, info %+v", err, info)
	}
}

func TestReadInfoReturnsErrorsOfTheDisk(t *testing.T) {
	broken := errors.New("broken disk")
	if _, err := ReadInfo(errorReader{broken}, 1000); !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
}

type errorReader struct{ err error }

func (e errorReader) ReadAt([]byte, int64) (int, error) { return 0, e.err }

func FuzzReadInfo(f *testing.F) {
	file, _ := smallArchive(f)
	f.Add(file)
	f.Add(withSeekTable(file, 2))
	f.Add(file[:100])
	f.Add([]byte("a stranger's"))
	f.Fuzz(func(t *testing.T, file []byte) {
		_, err := readInfo(file)
		if err != nil && !errors.Is(err, ErrNotArchive) && !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrFutureFormat) {
			t.Errorf("unexpected error %v", err)
		}
	})
}
