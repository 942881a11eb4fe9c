// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
)

func checkRecords(file []byte) error {
	return CheckRecords(bytes.NewReader(file), int64(len(file)))
}

// manyRecords is an archive with several blocks of the index, and where its data frames are.
func manyRecords(t *testing.T) (file []byte, frames []extent) {
	t.Helper()
	sources := []Source{
		{Name: "data", Path: built(t, treetest.Dir{Entries: smallFiles(30)})},
		{Name: "logs", Path: built(t, treetest.Dir{Entries: treetest.Entries{"big": treetest.File{Content: random(3<<20, 1)}}})},
	}
	w := write(t, Options{Header: testHeader}, sources...)
	file, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	defer a.decoder.Close()
	for _, ref := range a.Blocks() {
		frames = append(frames, extent{ref.Data, ref.Stored})
	}
	return file, frames
}

func TestCheckRecordsNoticesEveryFlippedByteButThoseOfData(t *testing.T) {
	file, frames := manyRecords(t)
	if err := checkRecords(file); err != nil {
		t.Fatal(err)
	}
	isData := func(at int64) bool {
		for _, f := range frames {
			if at >= f.offset && at < f.offset+f.length {
				return true
			}
		}
		return false
	}
	checked := 0
	for at := range file {
		if isData(int64(at)) {
			continue
		}
		checked++
		for _, bits := range []byte{0x01, 0x80, 0xFF} {
			file[at] ^= bits
			if err := checkRecords(file); err == nil || !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTruncated) {
				t.Fatalf("byte %d of %d flipped by %#x: %v", at, len(file), bits, err)
			}
			file[at] ^= bits
		}
	}
	if checked < 8192 {
		t.Errorf("only %d bytes were flipped", checked)
	}
}

func TestCheckRecordsNoticesEveryTruncation(t *testing.T) {
	file, _ := smallArchive(t)
	for n := range file {
		if checkRecords(file[:n]) == nil {
			t.Fatalf("cut to %d bytes", n)
		}
	}
	if checkRecords(append(bytes.Clone(file), 0, 0, 0, 0)) == nil {
		t.Error("four bytes more")
	}
}

func TestCheckRecordsReadsNoData(t *testing.T) {
	file, _ := manyRecords(t)
	c := &countingReader{r: bytes.NewReader(file)}
	if err := CheckRecords(c, int64(len(file))); err != nil || c.n > int64(len(file))/20 {
		t.Errorf("error %v, %d of %d bytes read", err, c.n, len(file))
	}
}
