// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package tarstream

import (
	"bytes"
	"errors"
	"sort"
)

// maxExtents is how many extents the map of a sparse file has at most, with an empty one at its end.
const maxExtents = 16<<10 + 1

var errSparseMap = errors.New("the map of a sparse file isn't one")

// parseMap reads the map of a sparse file, in the format that GNU tar calls 1.0: how many extents there are, then the
// offset and length of each, one number per line, padded to whole blocks. Data is then what follows the map.
func (h *Header) parseMap(b []byte) ([]byte, error) {
	text := b
	count, text, err := takeLine(text)
	// A line has two bytes at least, and an extent two lines.
	if err != nil || count > min(maxExtents, int64(len(text)/4)) {
		return nil, errSparseMap
	}
	h.Extents = make([]Extent, 0, count)
	end, data := int64(0), int64(0)
	for range count {
		var e Extent
		if e.Offset, text, err = takeLine(text); err == nil {
			e.Length, text, err = takeLine(text)
		}
		// In order, without overlaps, within the file.
		if err != nil || e.Offset < end || e.Offset > h.Size || e.Length > h.Size-e.Offset {
			return nil, errSparseMap
		}
		end = e.Offset + e.Length
		data += e.Length
		// An empty extent at the end only tells that there is a hole before it.
		if e.Length > 0 {
			h.Extents, h.starts = append(h.Extents, e), append(h.starts, data-e.Length)
		}
	}
	used := int64(len(b) - len(text))
	used += Padding(used)
	if used > int64(len(b)) || h.Data != used+data {
		return nil, errSparseMap
	}
	h.Data = data
	return b[used:], nil
}

// takeLine takes one number and the newline after it.
func takeLine(b []byte) (int64, []byte, error) {
	i := bytes.IndexByte(b[:min(len(b), maxNumber)], '\n')
	if i < 0 {
		return 0, nil, errSparseMap
	}
	n, err := parseDecimal(b[:i], 1<<63-1)
	return n, b[i+1:], err
}

// Place tells where the data from offset on, counted without holes, belongs in the file, and how many bytes of it stand
// there together, at most n. For offsets beyond the data that is 0.
func (h *Header) Place(offset, n int64) (at, length int64) {
	if !h.Sparse {
		return offset, max(0, min(n, h.Size-offset))
	}
	if offset >= h.Data {
		return 0, 0
	}
	i := sort.Search(len(h.starts), func(i int) bool { return h.starts[i] > offset }) - 1
	within := offset - h.starts[i]
	return h.Extents[i].Offset + within, min(n, h.Extents[i].Length-within)
}
