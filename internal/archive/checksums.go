// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"appliance.io/backup-operator/internal/archive/index"
)

// heldChecksums is how many bytes of the list are held while the archive is made.
const heldChecksums = 8 << 20

// checksums is the list of the files in an archive, on its way. It is written when the archive is done: only then it is
// certain that the archive needn't be made again. A short list is held until then; what a long one says is read from the
// archive's own index.
type checksums struct {
	to   io.Writer // nil if nobody wants it
	held []byte
	long bool
}

// add takes the entries of the next frames down.
func (c *checksums) add(entries []index.Entry) {
	if c.to == nil || c.long {
		return
	}
	for i := range entries {
		c.held = appendChecksum(c.held, &entries[i])
	}
	if len(c.held) > heldChecksums {
		c.long, c.held = true, nil
	}
}

// write writes the list, when the archive with the given blocks has been written.
func (c *checksums) write(ctx context.Context, out *output, blocks []index.BlockRef) error {
	if c.to == nil {
		return nil
	}
	if c.long {
		return writeChecksums(ctx, c.to, out, blocks)
	}
	if _, err := c.to.Write(c.held); err != nil {
		return fmt.Errorf("write the list of checksums: %w", err)
	}
	return nil
}

// writeChecksums writes the list from the index of an archive.
func writeChecksums(ctx context.Context, to io.Writer, out *output, blocks []index.BlockRef) error {
	a := &Archive{r: out.file, size: out.size, blocks: blocks, decoder: NewDecoder(1)}
	defer a.decoder.Close()
	w := bufio.NewWriterSize(to, 256<<10)
	var b index.Block
	var line []byte
	for i := range blocks {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := a.ReadBlock(i, &b); err != nil {
			return fmt.Errorf("read the archive that was just written: %w", err)
		}
		for j := range b.Entries {
			line = appendChecksum(line[:0], &b.Entries[j])
			if _, err := w.Write(line); err != nil {
				return fmt.Errorf("write the list of checksums: %w", err)
			}
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the list of checksums: %w", err)
	}
	return nil
}

// appendChecksum appends the line of an entry as sha256sum(1) writes it; nothing for what isn't a regular file. Hashing
// the holes of a sparse file may take for ever, so it is only mentioned, in a comment. So is what could not be read in full:
// sha256sum must not say that it is well.
func appendChecksum(dst []byte, e *index.Entry) []byte {
	if e.Type != index.Regular {
		return dst
	}
	name := e.Path
	escaped := strings.ContainsAny(name, "\\\n\r")
	if escaped {
		name = escapes.Replace(name)
	}
	switch {
	case e.Is(index.Flawed):
		dst = append(dst, "# incomplete, not listed: "...)
	case e.Is(index.Sparse):
		dst = append(dst, "# sparse, not listed: "...)
	case escaped:
		dst = append(dst, '\\')
		fallthrough
	default:
		dst = hex.AppendEncode(dst, e.SHA256[:])
		dst = append(dst, "  "...)
	}
	dst = append(dst, name...)
	return append(dst, '\n')
}

// escapes are those of sha256sum(1), in lines that begin with a backslash.
var escapes = strings.NewReplacer("\\", `\\`, "\n", `\n`, "\r", `\r`)
