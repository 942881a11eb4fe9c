// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package tarstream

import (
	"fmt"

	"appliance.io/backup-operator/internal/archive/index"
)

// Agree tells whether headers and index say the same of an entry. The error is ErrDisagrees, with what differs.
func (h *Header) Agree(e *index.Entry) error {
	differ := func(what string, stream, index any) error {
		return fmt.Errorf("%w: its %s is %v in the stream and %v in the index", ErrDisagrees, what, stream, index)
	}
	switch {
	case h.Path != e.Path:
		return differ("path", fmt.Sprintf("%.200q", h.Path), fmt.Sprintf("%.200q", e.Path))
	case h.Type != e.Type:
		return differ("type", string(rune(h.Type)), string(rune(e.Type)))
	case h.Mode != e.Mode:
		return differ("mode", fmt.Sprintf("%#o", h.Mode), fmt.Sprintf("%#o", e.Mode))
	case h.UID != e.UID || h.GID != e.GID:
		return differ("owner", fmt.Sprintf("%d:%d", h.UID, h.GID), fmt.Sprintf("%d:%d", e.UID, e.GID))
	case h.ModTime != e.ModTime:
		return differ("modification time", h.ModTime, e.ModTime)
	case h.Link != e.Link:
		return differ("link", fmt.Sprintf("%.200q", h.Link), fmt.Sprintf("%.200q", e.Link))
	case h.Sparse != e.Is(index.Sparse):
		return differ("form", h.Sparse, e.Is(index.Sparse))
	case h.Size != e.Size || h.Data != e.Data:
		return differ("size", h.Size, e.Size)
	}
	return nil
}
