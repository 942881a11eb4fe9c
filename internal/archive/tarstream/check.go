// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package tarstream

import (
	"errors"
	"fmt"
	"strings"

	"appliance.io/backup-operator/internal/archive/index"
)

const (
	// maxData is a size that no file has, far from where sums overflow.
	maxData = 1 << 62
	// MaxHeaders is more than an entry's headers come to: 1 MiB of attributes, the map of a sparse file and some paths.
	MaxHeaders = 4 << 20
)

// Check refuses entries of an index that no writer makes. last is the path of the entry before it in the same source,
// empty if that isn't known. The error tells what can't be, and not of which entry.
func Check(e *index.Entry, last string) error {
	switch {
	case !ValidPath(e.Path):
		return errors.New("has a path that leads elsewhere")
	case last != "" && index.Compare(last, e.Path) >= 0:
		return fmt.Errorf("is not in order, or is there twice, after %.300q", last)
	case !strings.Contains(e.Path, "/") && e.Type != index.Directory:
		return errors.New("is a source's root and not a directory")
	case !hasHeaders(e):
		return fmt.Errorf("has headers of %d bytes", e.Headers)
	case !hasData(e):
		return fmt.Errorf("has the absurd size %d", e.Data)
	}
	return checkLink(e)
}

func hasHeaders(e *index.Entry) bool {
	return e.Headers >= BlockSize && e.Headers <= MaxHeaders && e.Headers%BlockSize == 0
}

func hasData(e *index.Entry) bool { return e.Data >= 0 && e.Data <= maxData && e.Size >= e.Data }

// EndOf is where an entry ends that begins at a place in a frame with so much content. It is false if it can't be there:
// all headers are in the frame, and only the last entry's data may go on in the next ones.
func EndOf(e *index.Entry, at, content int64, last bool) (end int64, ok bool) {
	if !hasHeaders(e) || !hasData(e) || at+e.Headers > content {
		return 0, false
	}
	end = at + Span(e)
	return end, last || end <= content
}

// checkLink refuses links that no writer makes.
func checkLink(e *index.Entry) error {
	switch {
	case e.Type == index.HardLink && (!ValidPath(e.Link) || index.SourceOf(e.Link) != index.SourceOf(e.Path) ||
		index.Compare(e.Link, e.Path) >= 0):
		return fmt.Errorf("is a link to %.300q, which is not an entry before it in its source", e.Link)
	case e.Type == index.Symlink && (e.Link == "" || strings.IndexByte(e.Link, 0) >= 0):
		return fmt.Errorf("leads to %.300q", e.Link)
	}
	return nil
}

// ValidPath tells whether a path consists of elements that are names in a directory, and of nothing else.
func ValidPath(path string) bool {
	if strings.IndexByte(path, 0) >= 0 {
		return false
	}
	for element := range strings.SplitSeq(path, "/") {
		if element == "" || element == "." || element == ".." {
			return false
		}
	}
	return true
}

// Span is how many bytes of the stream an entry has: its headers, its data, and the zeros after it.
func Span(e *index.Entry) int64 { return e.Headers + e.Data + Padding(e.Data) }
