// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package tarstream takes the headers of entries in an archive's tar stream apart: what the index doesn't hold
// (extended attributes, access control lists, device numbers, the maps of sparse files), and what it must agree with.
//
// It reads what this project's archives hold and no other dialect of tar. Bytes come from disks and strangers: every
// bound is checked, and nothing that is parsed allocates more than a multiple of what it is given.
package tarstream

import (
	"bytes"
	"errors"
	"fmt"

	"appliance.io/backup-operator/internal/archive/index"
)

// BlockSize is the unit of a tar stream: headers are whole blocks, and data is padded to whole blocks.
const BlockSize = 512

// ErrMalformed means that bytes aren't the headers of an entry as archives have them.
var ErrMalformed = errors.New("malformed tar header")

// ErrDisagrees means that an entry's headers say something else than the index does.
var ErrDisagrees = errors.New("the index disagrees with the tar stream")

// Xattr is an extended attribute.
type Xattr struct {
	Name  string
	Value []byte
}

// Extent is a part of a sparse file that holds data.
type Extent struct{ Offset, Length int64 }

// Header is what an entry's headers say.
type Header struct {
	// Path is the name in the archive, without the slash that a directory has at its end.
	Path string
	// Type is one of the index's types.
	Type byte
	// Mode is the permissions with setuid, setgid and sticky.
	Mode uint32
	// UID and GID are the owner's numbers.
	UID, GID uint32
	// ModTime is when the content was changed last.
	ModTime index.Time
	// Link is where a symbolic link leads, or the path in the archive of a hard link's first name.
	Link string
	// Size is a regular file's size with its holes; Data is how many bytes of data it has in the stream.
	Size, Data int64
	// Major and Minor are a device's numbers.
	Major, Minor uint32
	// Xattrs are the extended attributes but for access control lists, sorted by name. The values share memory with
	// what was parsed.
	Xattrs []Xattr
	// AccessACL and DefaultACL are access control lists in the kernel's form; nil if there are none.
	AccessACL, DefaultACL []byte
	// Sparse tells whether the file has a map; Extents is the map, in order.
	Sparse  bool
	Extents []Extent
	starts  []int64 // of each extent's data, counted without holes
}

// Padding is the number of bytes that fill size up to whole blocks.
func Padding(size int64) int64 { return -size & (BlockSize - 1) }

// Parse takes the headers of one entry apart, which must be all of b: an extended header if there is one, the header
// itself, and the map of a sparse file. The error is ErrMalformed.
func Parse(b []byte) (*Header, error) {
	if len(b) > MaxHeaders {
		return nil, fmt.Errorf("%w: %d bytes of headers", ErrMalformed, len(b))
	}
	h, rest, err := Next(b)
	if err == nil && len(rest) > 0 {
		return nil, fmt.Errorf("%w: something follows the headers", ErrMalformed)
	}
	return h, err
}

// Next takes the headers of the entry apart that b begins with, and returns what follows them. The error is ErrMalformed.
func Next(b []byte) (*Header, []byte, error) {
	h := &Header{}
	x := extended{realSize: -1}
	block, rest, err := takeBlock(b)
	if err == nil && block[156] == 'x' {
		if rest, err = x.parse(block, rest, h); err == nil {
			block, rest, err = takeBlock(rest)
		}
	}
	if err == nil {
		err = h.fill(block, &x)
	}
	if err == nil && h.Sparse {
		rest, err = h.parseMap(rest)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return h, rest, nil
}

// Entry is what an index says of the entry, as far as headers of so many bytes tell: its hash isn't known.
func (h *Header) Entry(headers int) index.Entry {
	e := index.Entry{
		Path: h.Path, Type: h.Type, Mode: h.Mode, UID: h.UID, GID: h.GID, ModTime: h.ModTime, Link: h.Link,
		Size: h.Size, Data: h.Data, Headers: int64(headers), Unhashed: h.Type == index.Regular,
	}
	if h.Sparse {
		e.Flags = index.Sparse
	}
	return e
}

// takeBlock takes one header block and checks its sum.
func takeBlock(b []byte) (block, rest []byte, err error) {
	if len(b) < BlockSize {
		return nil, nil, errors.New("it ends too early")
	}
	block, rest = b[:BlockSize:BlockSize], b[BlockSize:]
	want, err := parseNumber(block[148:156])
	if err != nil {
		return nil, nil, err
	}
	// The sum is taken with the field itself full of spaces.
	sum := int64(8 * ' ')
	for _, c := range block[:148] {
		sum += int64(c)
	}
	for _, c := range block[156:] {
		sum += int64(c)
	}
	if sum != want {
		return nil, nil, errors.New("the checksum is wrong")
	}
	return block, rest, nil
}

// fill takes what the header block says, and the extended header where that says more.
func (h *Header) fill(block []byte, x *extended) error {
	h.Type = block[156]
	numbers := [...]struct {
		field []byte
		limit int64
		into  *int64
	}{
		{block[100:108], 0o7777, new(int64)},
		{block[108:116], 1<<32 - 1, new(int64)},
		{block[116:124], 1<<32 - 1, new(int64)},
		{block[124:136], 1<<63 - 1, new(int64)},
		{block[136:148], 1<<63 - 1, new(int64)},
		{block[329:337], 1<<32 - 1, new(int64)},
		{block[337:345], 1<<32 - 1, new(int64)},
	}
	for i, n := range numbers {
		v, err := parseNumber(n.field)
		if err != nil {
			return err
		}
		// Only times may be negative.
		if v > n.limit || v < 0 && i != 4 {
			return fmt.Errorf("%d is more than a header can say", v)
		}
		*n.into = v
	}
	h.Mode, h.UID, h.GID = uint32(*numbers[0].into), uint32(*numbers[1].into), uint32(*numbers[2].into)
	h.Data, h.ModTime.Sec = *numbers[3].into, *numbers[4].into
	h.Major, h.Minor = uint32(*numbers[5].into), uint32(*numbers[6].into)
	x.override(h)
	h.fillNames(block, x)
	h.Size = h.Data
	if h.Type != index.Regular && h.Data != 0 {
		return errors.New("an entry that isn't a file has data")
	}
	return h.fillSparse(x)
}

// fillNames finds the names, wherever they stand.
func (h *Header) fillNames(block []byte, x *extended) {
	name, link := text(block[0:100]), text(block[157:257])
	if prefix := text(block[345:500]); len(prefix) > 0 {
		name = append(append(append(make([]byte, 0, len(prefix)+1+len(name)), prefix...), '/'), name...)
	}
	if x.path != nil {
		name = x.path
	}
	if x.sparseName != nil {
		name = x.sparseName
	}
	if x.link != nil {
		link = x.link
	}
	if h.Type == index.Directory {
		name = bytes.TrimSuffix(name, []byte("/"))
	}
	h.Path, h.Link = string(name), string(link)
}

// fillSparse makes a sparse file's header of that of an ordinary one, if it is one.
func (h *Header) fillSparse(x *extended) error {
	if x.sparseName == nil && x.realSize < 0 && !x.sparseMajor {
		return nil
	}
	if h.Type != index.Regular || x.sparseName == nil || x.realSize < 0 || !x.sparseMajor {
		return errors.New("a sparse file of an unknown form")
	}
	h.Sparse, h.Size = true, x.realSize
	return nil
}

// text is a field up to its first NUL.
func text(field []byte) []byte {
	if i := bytes.IndexByte(field, 0); i >= 0 {
		return field[:i]
	}
	return field
}
