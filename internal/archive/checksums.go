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

// writeChecksums writes the list of the files in an archive that has just been written, from its own index: only now
// it is certain that the archive needn't be made again, and so the list is what a reader will find.
func writeChecksums(ctx context.Context, to io.Writer, out *output, blocks []index.BlockRef) error {
	if to == nil {
		return nil
	}
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
// the holes of a sparse file may take for ever, so it is only mentioned, in a comment.
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
