// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package tarstream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// block is a header block with its sum.
func block(typ byte, name string, size int64, change ...func([]byte)) []byte {
	b := make([]byte, BlockSize)
	copy(b, name)
	copy(b[100:], "0000644\x00")
	copy(b[124:], fmt.Sprintf("%011o", size))
	b[156] = typ
	copy(b[257:], "ustar\x0000")
	for _, c := range change {
		c(b)
	}
	sum := 8 * int(' ')
	for i, c := range b {
		if i < 148 || i >= 156 {
			sum += int(c)
		}
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// pax is an extended header of keys and values.
func pax(records ...string) []byte {
	var body []byte
	for i := 0; i < len(records); i += 2 {
		rest := len(records[i]) + len(records[i+1]) + 3
		n := rest + len(fmt.Sprint(rest+1))
		body = fmt.Appendf(body, "%d %s=%s\n", n, records[i], records[i+1])
	}
	return paxOf(body)
}

func paxOf(body []byte) []byte {
	out := append(block('x', "PaxHeaders/x", int64(len(body))), body...)
	return append(out, make([]byte, Padding(int64(len(body))))...)
}

func mapBlock(text string) []byte {
	return append([]byte(text), make([]byte, Padding(int64(len(text))))...)
}

func TestParse(t *testing.T) {
	put := func(at int, text string) func([]byte) { return func(b []byte) { copy(b[at:], text) } }
	tests := map[string]struct {
		in   []byte
		want Header
	}{
		"a plain header": {
			block('0', "data/x", 5, put(108, "0001750\x00"), put(116, "0000005\x00"), put(136, "00000000007\x00")),
			Header{Path: "data/x", Type: '0', Mode: 0o644, UID: 1000, GID: 5, Size: 5, Data: 5, ModTime: index.Time{Sec: 7}},
		},
		"a name in two fields": {
			block('5', "x/", 0, put(345, "data/long")), Header{Path: "data/long/x", Type: '5', Mode: 0o644},
		},
		"a device": {
			block('3', "d", 0, put(329, "0000010\x00"), put(337, "0000377\x00")),
			Header{Path: "d", Type: '3', Mode: 0o644, Major: 8, Minor: 255},
		},
		"numbers in binary": {
			block('0', "d", 0, put(108, "\x80\x00\x00\x00\xB2\xD0\x5E\x00"), put(124, "\x80\x00\x00\x00\x00\x00\x00\x02\x40\x00\x00\x00"),
				put(136, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE")),
			Header{Path: "d", Type: '0', Mode: 0o644, UID: 3_000_000_000, Size: 9 << 30, Data: 9 << 30, ModTime: index.Time{Sec: -2}},
		},
		"records": {
			append(pax("path", "data/\xff", "linkpath", "to", "uid", "3000000000", "gid", "4000000000",
				"mtime", "-1.75", "hdrcharset", "BINARY", "later.than.this", "x"), block('2', "n", 0)...),
			Header{Path: "data/\xff", Type: '2', Mode: 0o644, Link: "to", UID: 3_000_000_000, GID: 4_000_000_000,
				ModTime: index.Time{Sec: -2, Nsec: 250_000_000}},
		},
		"attributes": {
			append(pax("SCHILY.xattr.user.a%3D%25", "1\n2", "SCHILY.acl.access", "user::rw-\nuser:7:r--\nmask::rwx\n"), block('0', "n", 0)...),
			Header{Path: "n", Type: '0', Mode: 0o644, Xattrs: []Xattr{{"user.a=%", []byte("1\n2")}}, AccessACL: acl(
				1, 6, noID, 2, 4, 7, 0x10, 7, noID)},
		},
		"a sparse file": {
			slices.Concat(pax("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", "data/s",
				"GNU.sparse.realsize", "100"), block('0', "GNUSparseFile.0/s", 512+30), mapBlock("3\n10\n10\n50\n20\n100\n0\n")),
			Header{Path: "data/s", Type: '0', Mode: 0o644, Size: 100, Data: 30, Sparse: true, Extents: []Extent{{10, 10}, {50, 20}}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(test.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&test.want, got, cmpopts.IgnoreUnexported(Header{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// acl is an access control list as the kernel has it, of tags, permissions and identities.
func acl(fields ...uint32) []byte {
	b := []byte{2, 0, 0, 0}
	for i := 0; i < len(fields); i += 3 {
		b = binary.LittleEndian.AppendUint16(b, uint16(fields[i]))
		b = binary.LittleEndian.AppendUint16(b, uint16(fields[i+1]))
		b = binary.LittleEndian.AppendUint32(b, fields[i+2])
	}
	return b
}

// malformed are headers that no archive has.
func malformed() map[string][]byte {
	plain := block('0', "x", 0)
	with := func(records ...string) []byte { return append(pax(records...), plain...) }
	broken := bytes.Clone(plain)
	broken[0]++
	return map[string][]byte{
		"nothing":                                 nil,
		"half a block":                            plain[:256],
		"a wrong sum":                             broken,
		"only an extended header":                 pax("path", "x"),
		"two extended headers":                    append(pax("path", "x"), with("path", "y")...),
		"something after it":                      append(bytes.Clone(plain), plain...),
		"a bad number":                            block('0', "x", 0, func(b []byte) { copy(b[108:], "0009") }),
		"a mode of more bits":                     block('0', "x", 0, func(b []byte) { copy(b[100:], "0100644") }),
		"a negative size":                         block('0', "x", 0, func(b []byte) { copy(b[124:], bytes.Repeat([]byte{0xFF}, 12)) }),
		"a size beyond all":                       block('0', "x", 0, func(b []byte) { copy(b[124:], "\x80\x01"+strings.Repeat("\xFF", 10)) }),
		"a directory with data":                   block('5', "x/", 5),
		"records beyond the end":                  block('x', "x", 1<<20),
		"a record without an end":                 append(paxOf([]byte("12 path=data")), plain...),
		"a record of no length":                   append(paxOf([]byte("path=data\n")), plain...),
		"a record that is too big":                append(paxOf([]byte("99 path=data\n")), plain...),
		"a record without a key":                  append(paxOf([]byte("5 =x\n")), plain...),
		"a record of length 1":                    append(paxOf([]byte("1 path=x\n")), plain...),
		"a time of words":                         with("mtime", "now"),
		"a time of 10 digits":                     with("mtime", "1.0000000001"),
		"an owner beyond all":                     with("uid", "4294967296"),
		"a list of words":                         with("SCHILY.acl.access", "everybody"),
		"a list of strangers":                     with("SCHILY.acl.access", "user:me:rwx"),
		"a list of many rights":                   with("SCHILY.acl.access", "user::rwxs"),
		"an attribute of no name":                 with("SCHILY.xattr.", "x"),
		"a sparse file of no size":                with("GNU.sparse.major", "1", "GNU.sparse.name", "x"),
		"a sparse file of no name":                with("GNU.sparse.major", "1", "GNU.sparse.realsize", "1"),
		"an older sparse file":                    with("GNU.sparse.major", "0", "GNU.sparse.name", "x", "GNU.sparse.realsize", "1"),
		"a name of an attribute that is too long": with("SCHILY.xattr.user."+strings.Repeat("n", 300), "v"),
		"a value that is too big":                 with("SCHILY.xattr.user.x", strings.Repeat("v", 64<<10+1)),
		"more attributes than a file can have":    with(manyAttributes(200_000)...),
		"a list of more than an attribute holds":  with("SCHILY.acl.access", strings.Repeat("user:1:r--\n", 10_000)),
		"more extents than a map has": slices.Concat(pax("GNU.sparse.major", "1", "GNU.sparse.name", "x",
			"GNU.sparse.realsize", "100000"), block('0', "x", 20_000+180_224), mapBlock(manyExtents(20_000))),
		"a sparse file of no map": with("GNU.sparse.major", "1", "GNU.sparse.name", "x", "GNU.sparse.realsize", "1"),
	}
}

// manyAttributes are records of attributes, each with a name of its own.
func manyAttributes(n int) []string {
	var records []string
	for i := range n {
		records = append(records, fmt.Sprintf("SCHILY.xattr.user.%06d", i), "")
	}
	return records
}

// manyExtents is the map of a sparse file of which every other byte is data.
func manyExtents(n int) string {
	text := fmt.Sprintln(n)
	for i := range n {
		text += fmt.Sprintf("%d\n1\n", 2*i)
	}
	return text
}

func TestMalformedHeadersAreRefused(t *testing.T) {
	for name, in := range malformed() {
		if h, err := Parse(in); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}

func TestPlace(t *testing.T) {
	h := &Header{Sparse: true, Size: 100, Data: 30, Extents: []Extent{{10, 10}, {50, 20}}, starts: []int64{0, 10}}
	for _, test := range [][4]int64{{0, 5, 10, 5}, {0, 50, 10, 10}, {9, 5, 19, 1}, {10, 5, 50, 5}, {29, 5, 69, 1}, {30, 5, 0, 0}} {
		if at, n := h.Place(test[0], test[1]); at != test[2] || n != test[3] {
			t.Errorf("Place(%d, %d) = %d, %d", test[0], test[1], at, n)
		}
	}
}

func TestAgreeTellsWhatDiffers(t *testing.T) {
	same := func() (*Header, *index.Entry) {
		return &Header{Path: "data/x", Type: '0', Mode: 0o644, Size: 5, Data: 5}, &index.Entry{
			Path: "data/x", Type: '0', Mode: 0o644, Size: 5, Data: 5}
	}
	if h, e := same(); h.Agree(e) != nil {
		t.Error(h.Agree(e))
	}
	for name, change := range map[string]func(*index.Entry){
		"path": func(e *index.Entry) { e.Path = "data/y" }, "type": func(e *index.Entry) { e.Type = '6' },
		"mode": func(e *index.Entry) { e.Mode = 0o755 }, "owner": func(e *index.Entry) { e.GID = 1 },
		"modification time": func(e *index.Entry) { e.ModTime.Nsec = 1 }, "link": func(e *index.Entry) { e.Link = "x" },
		"size": func(e *index.Entry) { e.Size++ }, "form": func(e *index.Entry) { e.Flags = index.Sparse },
	} {
		h, e := same()
		change(e)
		if err := h.Agree(e); !errors.Is(err, ErrDisagrees) || !strings.Contains(err.Error(), "its "+name+" is") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParse looks for headers that make Parse fail otherwise than with an error, or that break its promises.
func FuzzParse(f *testing.F) {
	for _, in := range malformed() {
		f.Add(in)
	}
	f.Add(append(pax("path", "data/x", "mtime", "1.5"), block('0', "n", 7)...))
	f.Add(slices.Concat(pax("GNU.sparse.major", "1", "GNU.sparse.name", "s", "GNU.sparse.realsize", "100"),
		block('0', "s", 512+30), mapBlock("2\n10\n10\n50\n20\n")))
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := Parse(in)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%v", err)
			}
			return
		}
		end, data := int64(0), int64(0)
		for _, e := range h.Extents {
			if e.Offset < end || e.Length <= 0 || e.Offset+e.Length > h.Size {
				t.Fatalf("extents %v of %d bytes", h.Extents, h.Size)
			}
			end, data = e.Offset+e.Length, data+e.Length
		}
		if h.Data < 0 || h.Size < h.Data || h.Sparse && data != h.Data {
			t.Errorf("%d bytes of data in %d, %d in extents", h.Data, h.Size, data)
		}
	})
}
