// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// parse reads headers with a reader that isn't ours.
func parse(t *testing.T, b []byte) *tar.Header {
	t.Helper()
	h, err := tar.NewReader(bytes.NewReader(b)).Next()
	if err != nil {
		t.Fatalf("parse header: %v", err)
	}
	return h
}

func TestHeadersSayWhatTheyShould(t *testing.T) {
	long := strings.Repeat("long/", 60)
	tests := map[string]struct {
		header tarHeader
		want   tar.Header
		blocks int
	}{
		"plain": {
			tarHeader{typ: typeRegular, name: "data/f", mode: 0o4755, uid: 1, gid: 2, size: 3, mtime: timestamp{4, 0}},
			tar.Header{Typeflag: tar.TypeReg, Name: "data/f", Mode: 0o4755, Uid: 1, Gid: 2, Size: 3, ModTime: time.Unix(4, 0)}, 1,
		},
		"nanoseconds": {
			tarHeader{typ: typeDirectory, name: "data/", mtime: timestamp{1, 20}},
			tar.Header{Typeflag: tar.TypeDir, Name: "data/", ModTime: time.Unix(1, 20)}, 3,
		},
		"name in two fields": {
			tarHeader{typ: typeRegular, name: long[:155] + "/" + long[:99] + "x"},
			tar.Header{Typeflag: tar.TypeReg, Name: long[:155] + "/" + long[:99] + "x", ModTime: time.Unix(0, 0)}, 1,
		},
		"long name": {
			tarHeader{typ: typeSymlink, name: long + "x", link: long},
			tar.Header{Typeflag: tar.TypeSymlink, Name: long + "x", Linkname: long, ModTime: time.Unix(0, 0)}, 4,
		},
		"big numbers": {
			tarHeader{typ: typeRegular, name: "f", uid: 1<<32 - 2, gid: 1 << 21, size: 1 << 40, mtime: timestamp{1 << 34, 0}},
			tar.Header{Typeflag: tar.TypeReg, Name: "f", Uid: 1<<32 - 2, Gid: 1 << 21, Size: 1 << 40, ModTime: time.Unix(1<<34, 0)}, 3,
		},
		"biggest numbers that fit": {
			tarHeader{typ: typeRegular, name: "f", uid: maxOctal7, gid: maxOctal7, size: maxOctal11, mtime: timestamp{maxOctal11, 0}},
			tar.Header{Typeflag: tar.TypeReg, Name: "f", Uid: maxOctal7, Gid: maxOctal7, Size: maxOctal11, ModTime: time.Unix(maxOctal11, 0)}, 1,
		},
		"device": {
			tarHeader{typ: typeBlock, name: "f", major: 4095, minor: 1<<20 - 1},
			tar.Header{Typeflag: tar.TypeBlock, Name: "f", Devmajor: 4095, Devminor: 1<<20 - 1, ModTime: time.Unix(0, 0)}, 1,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := appendHeader(nil, &test.header)
			got := parse(t, b)
			ignore := cmpopts.IgnoreFields(tar.Header{}, "PAXRecords", "Format")
			if diff := cmp.Diff(&test.want, got, ignore); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			if len(b) != test.blocks*blockSize {
				t.Errorf("%d bytes, want %d blocks", len(b), test.blocks)
			}
		})
	}
}

// TestNumbersAreThereWithoutPaxHeaders is for readers that don't know pax records of numbers.
func TestNumbersAreThereWithoutPaxHeaders(t *testing.T) {
	for _, h := range []tarHeader{
		{typ: typeRegular, name: "f", uid: maxOctal7, gid: maxOctal7, size: maxOctal11, mtime: timestamp{maxOctal11, 0}},
		{typ: typeRegular, name: "f", uid: maxOctal7 + 1, gid: maxOctal7 + 1, size: maxOctal11 + 1, mtime: timestamp{maxOctal11 + 1, 0}},
		{typ: typeRegular, name: "f", uid: 1<<32 - 2, gid: 1<<32 - 2, size: 1<<63 - 1, mtime: timestamp{1 << 40, 0}},
		{typ: typeRegular, name: "f", mtime: timestamp{-2, 250_000_000}},
	} {
		b := appendHeader(nil, &h)
		got := parse(t, b[len(b)-blockSize:])
		want := &tar.Header{
			Typeflag: tar.TypeReg, Name: "f", Uid: int(h.uid), Gid: int(h.gid), Size: h.size, ModTime: time.Unix(h.mtime.sec, 0),
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(tar.Header{}, "Format")); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", h, diff)
		}
	}
}

func TestRecordsAreSortedAndMeasured(t *testing.T) {
	h := &tarHeader{typ: typeRegular, name: "f", records: []record{{"z", "1"}, {"a", "x=\n\x00y"}, {"hdrcharset", "BINARY"}}}
	// Lengths around powers of ten, where a length's own digits count.
	for n := 80; n < 110; n++ {
		h.records = append(h.records, record{fmt.Sprintf("n%03d", n), strings.Repeat("v", n)})
	}
	for n := 980; n < 1010; n++ {
		h.records = append(h.records, record{fmt.Sprintf("n%03d", n), strings.Repeat("v", n)})
	}
	b := appendHeader(nil, h)
	if !strings.HasPrefix(string(b[blockSize:]), "21 hdrcharset=BINARY\n") {
		t.Errorf("hdrcharset isn't first: %q", b[blockSize:][:40])
	}
	got := parse(t, b).PAXRecords
	for _, r := range h.records {
		if got[r.key] != r.value {
			t.Errorf("record %s is %q, want %q", r.key, got[r.key], r.value)
		}
	}
}

func TestTheNameOfASparseFileComesAfterTheOneForOthers(t *testing.T) {
	h := &tarHeader{typ: typeRegular, name: "d/" + strings.Repeat("x", 200)}
	makeSparse(h, nil, 1)
	b := string(appendHeader(nil, h))
	if path, name := strings.Index(b, " path="), strings.Index(b, " GNU.sparse.name="); path < 0 || name < path {
		t.Errorf("path is at %d, GNU.sparse.name at %d", path, name)
	}
}

func TestSplitName(t *testing.T) {
	s := strings.Repeat("x", 300)
	tests := map[string]struct {
		name         string
		prefix, rest string
		ok           bool
	}{
		"short":                     {"a/b", "", "a/b", true},
		"just one field":            {s[:100], "", s[:100], true},
		"both full":                 {s[:155] + "/" + s[:100], s[:155], s[:100], true},
		"prefix too long":           {s[:156] + "/" + s[:10], "", s[:100], false},
		"rest too long":             {"a/" + s[:101], "", ("a/" + s)[:100], false},
		"no slash":                  {s[:101], "", s[:100], false},
		"directory":                 {s[:60] + "/" + s[:60] + "/", s[:60], s[:60] + "/", true},
		"directory without a split": {s[:101] + "/", "", s[:100], false},
	}
	for name, test := range tests {
		prefix, rest, ok := splitName(test.name)
		if prefix != test.prefix || rest != test.rest || ok != test.ok {
			t.Errorf("%s: got %q, %q, %t", name, prefix, rest, ok)
		}
	}
}
