// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"os"
)

// maxSpan bounds how much is taken over at once, so that progress is told and a run can be ended meanwhile.
const maxSpan = 256 << 20

// output is the file that is written. Neighbouring frames of the previous archive are taken over as one range.
type output struct {
	file   *os.File
	size   int64    // of what is written, with what is pending
	from   *os.File // the previous archive
	method string   // by which ranges of it are taken over
	span   span     // pending
	shared int64    // bytes that are on disk only once
	behind writeBehind
}

// write appends bytes.
func (o *output) write(b []byte) error {
	if err := o.flush(); err != nil {
		return err
	}
	n, err := o.file.WriteAt(b, o.size)
	o.size += int64(n)
	if err == nil {
		err = o.behind.wrote(int(o.file.Fd()), o.size-int64(n), int64(n))
	}
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

// settle leaves nothing of the file in the page cache. Nothing must be written after.
func (o *output) settle() error {
	if err := o.behind.end(int(o.file.Fd())); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

// take appends a range of the previous archive.
func (o *output) take(from, length int64) error {
	if o.span.from+o.span.length != from || o.span.length >= maxSpan {
		if err := o.flush(); err != nil {
			return err
		}
		o.span = span{from: from, to: o.size}
	}
	o.span.length += length
	o.size += length
	return nil
}

// flush takes over what is pending.
func (o *output) flush() error {
	s := o.span
	if s.length == 0 {
		return nil
	}
	o.span = span{}
	by, err := transfer(o.file, o.from, s, o.method)
	if err == nil && by == MethodCopy {
		err = o.behind.wrote(int(o.file.Fd()), s.to, s.length)
	}
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	if by == MethodReflink {
		o.shared += s.length
	}
	return nil
}
