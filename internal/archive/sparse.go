// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// extent is a part of a file that holds data.
type extent struct{ offset, length int64 }

// maxExtents bounds the memory that a sparse file's map takes. Files in more pieces have their smaller holes archived
// as the zeros that they read as.
const maxExtents = 16 << 10

// maybeSparse tells whether it is worth asking a file for its holes.
func maybeSparse(st *stat) bool {
	return st.size > 0 && st.blocks*512 < st.size
}

// extents lists the parts of an open file of the given size that hold data. Nil means that there are no holes, or that
// the file system doesn't tell.
func extents(fd int, size int64) ([]extent, error) {
	for minHole := int64(1); ; minHole *= 4 {
		list, fits, err := extentsFrom(fd, size, minHole)
		if err != nil || fits {
			return list, err
		}
	}
}

// extentsFrom does so, passing over holes shorter than minHole. It is false if there are too many extents.
func extentsFrom(fd int, size, minHole int64) (list []extent, fits bool, err error) {
	for at := int64(0); at < size; {
		start, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // a hole up to the end
		}
		if err != nil {
			return nil, true, ignoreNoHoles(err)
		}
		if start >= size {
			break
		}
		end, err := unix.Seek(fd, start, unix.SEEK_HOLE)
		if err != nil {
			return nil, true, ignoreNoHoles(err)
		}
		end = min(end, size)
		if last := len(list) - 1; last >= 0 && start-(list[last].offset+list[last].length) < minHole {
			list[last].length = end - list[last].offset
		} else if len(list) == maxExtents {
			return nil, false, nil
		} else {
			list = append(list, extent{start, end - start})
		}
		at = max(end, at+1)
	}
	if len(list) == 1 && list[0] == (extent{0, size}) {
		return nil, true, nil
	}
	if list == nil {
		list = []extent{}
	}
	return list, true, nil
}

// ignoreNoHoles drops the errors of file systems that can't tell about holes.
func ignoreNoHoles(err error) error {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

// dataSize is the number of bytes in the extents.
func dataSize(list []extent) int64 {
	total := int64(0)
	for _, e := range list {
		total += e.length
	}
	return total
}

// makeSparse turns the header of a regular file of the given size into that of a sparse one, in the format that GNU
// tar calls 1.0, and returns the map that comes before the data.
func makeSparse(h *tarHeader, list []extent, size int64) []byte {
	// A hole at the end is told by an empty extent there.
	if n := len(list); n == 0 || list[n-1].offset+list[n-1].length < size {
		list = append(list[:n:n], extent{size, 0})
	}
	m := strconv.AppendInt(nil, int64(len(list)), 10)
	m = append(m, '\n')
	for _, e := range list {
		m = append(strconv.AppendInt(m, e.offset, 10), '\n')
		m = append(strconv.AppendInt(m, e.length, 10), '\n')
	}
	m = appendPadding(m, int64(len(m)))

	name := h.name
	h.records = appendText(h.records, "GNU.sparse.name", name)
	h.records = append(h.records,
		record{"GNU.sparse.major", "1"},
		record{"GNU.sparse.minor", "0"},
		record{"GNU.sparse.realsize", strconv.FormatInt(size, 10)})
	// The name that is seen by readers that don't know sparse files.
	h.name = path.Dir(name) + "/GNUSparseFile.0/" + path.Base(name)
	h.size = int64(len(m)) + dataSize(list)
	return m
}
