// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package tarstream

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"appliance.io/backup-operator/internal/archive/index"
)

const xattrPrefix = "SCHILY.xattr."

// extended is what an extended header says that isn't in Header right away.
type extended struct {
	path, link, sparseName []byte
	uid, gid, size, mtime  bool
	uidValue, gidValue     uint32
	sizeValue              int64
	mtimeValue             index.Time
	sparseMajor            bool
	realSize               int64
	xattrNames             int // the bytes of the names of all attributes so far
}

// parse reads the extended header whose block is given from rest. Attributes go into h.
func (x *extended) parse(block, rest []byte, h *Header) ([]byte, error) {
	size, err := parseNumber(block[124:136])
	if err != nil {
		return nil, err
	}
	if size < 0 || size > int64(len(rest)) || size+Padding(size) > int64(len(rest)) {
		return nil, errors.New("an extended header ends too early")
	}
	records := rest[:size]
	for len(records) > 0 {
		var key, value []byte
		if key, value, records, err = takeRecord(records); err != nil {
			return nil, err
		}
		if err := x.take(string(key), value, h); err != nil {
			return nil, fmt.Errorf("record %.80q: %w", key, err)
		}
	}
	return rest[size+Padding(size):], nil
}

// takeRecord takes one record: "length key=value\n", where the length counts all of it.
func takeRecord(b []byte) (key, value, rest []byte, err error) {
	malformed := errors.New("a record of an extended header isn't one")
	space := bytes.IndexByte(b[:min(len(b), maxNumber)], ' ')
	if space <= 0 {
		return nil, nil, nil, malformed
	}
	n, err := parseDecimal(b[:space], int64(len(b)))
	if err != nil || n <= int64(space)+1 || b[n-1] != '\n' {
		return nil, nil, nil, malformed
	}
	key, value, ok := bytes.Cut(b[space+1:n-1], []byte("="))
	if !ok || len(key) == 0 {
		return nil, nil, nil, malformed
	}
	return key, value, b[n:], nil
}

// take takes one record. Keys that aren't known are passed over.
func (x *extended) take(key string, value []byte, h *Header) (err error) {
	var n int64
	switch key {
	case "path":
		x.path = value
	case "linkpath":
		x.link = value
	case "GNU.sparse.name":
		x.sparseName = value
	case "uid":
		n, err = parseDecimal(value, 1<<32-1)
		x.uid, x.uidValue = true, uint32(n)
	case "gid":
		n, err = parseDecimal(value, 1<<32-1)
		x.gid, x.gidValue = true, uint32(n)
	case "size":
		x.sizeValue, err = parseDecimal(value, 1<<63-1)
		x.size = true
	case "mtime":
		x.mtimeValue, err = parseTime(string(value))
		x.mtime = true
	case "GNU.sparse.major":
		n, err = parseDecimal(value, 1)
		x.sparseMajor = n == 1
	case "GNU.sparse.realsize":
		x.realSize, err = parseDecimal(value, 1<<63-1)
	case "SCHILY.acl.access":
		h.AccessACL, err = parseACL(string(value))
	case "SCHILY.acl.default":
		h.DefaultACL, err = parseACL(string(value))
	default:
		if name, ok := strings.CutPrefix(key, xattrPrefix); ok {
			name = strings.NewReplacer("%3D", "=", "%25", "%").Replace(name)
			return x.takeXattr(name, value, h)
		}
	}
	return err
}

// Limits of the kernel's. No file has more, so more is not an archive's: a forged entry with any number of attributes would
// keep a restore busy for as long as it likes.
const (
	maxXattrName  = 255
	maxXattrNames = 64 << 10 // of all names of a file, with a NUL each
	maxXattrValue = 64 << 10
)

// takeXattr takes an extended attribute.
func (x *extended) takeXattr(name string, value []byte, h *Header) error {
	x.xattrNames += len(name) + 1
	switch {
	case name == "" || strings.IndexByte(name, 0) >= 0:
		return errors.New("not the name of an attribute")
	case len(name) > maxXattrName || x.xattrNames > maxXattrNames || len(value) > maxXattrValue:
		return errors.New("more attributes than a file can have")
	}
	h.Xattrs = append(h.Xattrs, Xattr{Name: name, Value: value})
	return nil
}

// override puts what the extended header says in place of what the header says.
func (x *extended) override(h *Header) {
	if x.uid {
		h.UID = x.uidValue
	}
	if x.gid {
		h.GID = x.gidValue
	}
	if x.size {
		h.Data = x.sizeValue
	}
	if x.mtime {
		h.ModTime = x.mtimeValue
	}
}
