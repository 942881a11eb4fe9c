// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"appliance.io/backup-operator/internal/archive/index"
)

// listChecker compares the list of checksums that was written beside an archive with the index, line by line.
type listChecker struct {
	list *bufio.Reader // nil if there is nothing to be compared, or no more
	line []byte
	have []byte
}

func newListChecker(list io.Reader) *listChecker {
	if list == nil {
		return &listChecker{}
	}
	return &listChecker{list: bufio.NewReaderSize(list, 256<<10)}
}

// entries compares the lines of the next entries. It returns what is wrong, once.
func (c *listChecker) entries(entries []index.Entry) (wrong string, err error) {
	for i := range entries {
		if c.list == nil {
			return "", nil
		}
		c.line = appendChecksum(c.line[:0], &entries[i])
		c.have = append(c.have[:0], c.line...)
		_, err := io.ReadFull(c.list, c.have)
		short := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		switch {
		case err != nil && !short && !isDamage(err):
			return "", fmt.Errorf("read the list of checksums: %w", err)
		case err != nil || string(c.have) != string(c.line):
			c.list = nil
			if short {
				return fmt.Sprintf("it ends before the line of %q", entries[i].Path), nil
			}
			return fmt.Sprintf("it does not have the line of %q where that should be", entries[i].Path), nil
		}
	}
	return "", nil
}

// end returns what is wrong at the end of the list.
func (c *listChecker) end() string {
	if c.list == nil {
		return ""
	}
	if _, err := c.list.ReadByte(); !errors.Is(err, io.EOF) {
		return "it has more lines than the archive has files"
	}
	return ""
}

// listed compares the lines of entries. A list that is wrong is no damage to the archive.
func (v *verifier) listed(entries []index.Entry) error {
	wrong, err := v.list.entries(entries)
	if wrong != "" {
		v.result.List = wrong
	}
	return err
}
