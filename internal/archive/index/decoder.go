// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// maxPath is the length of the longest path or link; the kernel takes 4,096 bytes at once, but trees can be deeper.
// Writers leave out what is deeper than that.
const maxPath = 64 << 10

// decoder takes bytes apart. After the first error it gives zeros, so that callers look at the error once, at the end.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = errors.New(what)
	}
	d.rest = nil
}

// bytes takes n bytes; nil when there are fewer.
func (d *decoder) bytes(n int) []byte {
	if d.err != nil || n > len(d.rest) {
		d.fail("it ends too early")
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

// number takes a number that may be at most limit.
func (d *decoder) number(what string, limit uint64) uint64 {
	v, n := binary.Uvarint(d.rest)
	switch {
	case d.err != nil:
		return 0
	case n <= 0:
		d.fail("it ends too early")
		return 0
	case v > limit:
		d.fail(fmt.Sprintf("%s %d is more than %d", what, v, limit))
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count takes the number of things that follow, each of which takes a byte or more.
func (d *decoder) count(what string, limit uint64) int {
	n := d.number(what, limit)
	if n > uint64(len(d.rest)) {
		d.fail(fmt.Sprintf("%d %s don't fit in %d bytes", n, what, len(d.rest)))
		return 0
	}
	return int(n)
}

func (d *decoder) signed() int64 {
	v, n := binary.Varint(d.rest)
	if d.err != nil || n <= 0 {
		d.fail("it ends too early")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) fixed32() uint32 {
	if b := d.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// string takes a path, or what is as long as one.
func (d *decoder) string(what string) string {
	return string(d.bytes(int(d.number("length of a "+what, maxPath))))
}
