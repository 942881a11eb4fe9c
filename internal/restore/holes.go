// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"bytes"
	"errors"

	"appliance.io/backup-operator/internal/archive/tarstream"
	"golang.org/x/sys/unix"
)

// emptyHoles tells whether a file that stands has nothing but zeros where the archive has holes. What can't be read isn't
// the same.
func (r *restorer) emptyHoles(fd int, header *tarstream.Header) bool {
	if !header.Sparse {
		return true
	}
	end := int64(0)
	for _, e := range header.Extents {
		if !r.zeros(fd, end, e.Offset) {
			return false
		}
		end = e.Offset + e.Length
	}
	return r.zeros(fd, end, header.Size)
}

// zeros tells whether a file has nothing but zeros between two offsets. What isn't stored isn't read.
func (r *restorer) zeros(fd int, from, to int64) bool {
	buf := make([]byte, min(256<<10, to-from))
	for from < to && r.ctx.Err() == nil {
		at, err := unix.Seek(fd, from, unix.SEEK_DATA)
		switch {
		case errors.Is(err, unix.ENXIO) || err == nil && at >= to:
			return true
		case err == nil:
			from = at
		}
		part := buf[:min(int64(len(buf)), to-from)]
		if readAt(fd, part, from) != nil || len(bytes.Trim(part, "\x00")) > 0 {
			return false
		}
		from += int64(len(part))
	}
	return from >= to
}
