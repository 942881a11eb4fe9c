// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
	"appliance.io/backup-operator/internal/restore"
	"github.com/spf13/cobra"
)

// longList are the flags that ask for what is in a backup.
type longList struct {
	chosen
	include, exclude []string
}

// entryPrinters are the ways to print what is in a backup.
var entryPrinters = map[string]func(io.Writer, *index.Entry) error{
	"table": printEntry,
	"json":  printEntryJSON,
	"name":  printEntryName,
}

// listEntries prints what is in a backup, from its index alone.
func listEntries(cmd *cobra.Command, list *longList, output string) error {
	backups, err := list.find(cmd, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if list.name == allBackups {
		return &usageError{command: cmd.CommandPath(), err: fmt.Errorf("--long %s: give one backup", allBackups)}
	}
	a, f, err := list.openArchive(cmd.Context(), backups[0])
	if err != nil {
		return err
	}
	defer f.Close()
	return printEntries(cmd.Context(), cmd.OutOrStdout(), a, list, entryPrinters[output])
}

func printEntries(
	ctx context.Context, w io.Writer, a *archive.Archive, list *longList, printer func(io.Writer, *index.Entry) error,
) error {
	out := bufio.NewWriterSize(w, 64<<10)
	err := restore.Entries(ctx, a, list.include, list.exclude, func(e *index.Entry) error { return printer(out, e) })
	return errors.Join(err, out.Flush())
}

// printEntry prints a line as `tar -tv` does: owners as numbers, times in the zone of who looks.
func printEntry(w io.Writer, e *index.Entry) error {
	path := quotePath(e.Path)
	switch e.Type {
	case index.Directory:
		path += "/"
	case index.Symlink:
		path += " -> " + quotePath(e.Link)
	case index.HardLink:
		path += " link to " + quotePath(e.Link)
	}
	switch {
	case e.Is(index.Flawed):
		path += "  (incomplete: it could not be read in full)"
	case e.Is(index.Mixed):
		path += "  (written to while it was read)"
	}
	owner := fmt.Sprintf("%d/%d", e.UID, e.GID)
	when := timeText(e.ModTime, func(t time.Time) string { return t.Format("2006-01-02 15:04") })
	_, err := fmt.Fprintf(w, "%s %-11s %12d %s %s\n", modeText(e), owner, e.Size, when, path)
	return err
}

func printEntryName(w io.Writer, e *index.Entry) error {
	_, err := fmt.Fprintln(w, quotePath(e.Path))
	return err
}

// listedEntry is an entry as a line of JSON. Fields are only ever added.
type listedEntry struct {
	printedPath
	Type    string       `json:"type"`
	Mode    string       `json:"mode"`
	UID     uint32       `json:"uid"`
	GID     uint32       `json:"gid"`
	Size    int64        `json:"size"`
	Stored  int64        `json:"dataBytes"`
	ModTime string       `json:"mtime"`
	Link    *printedPath `json:"link,omitempty"`
	SHA256  string       `json:"sha256,omitempty"`
	Sparse  bool         `json:"sparse,omitempty"`
	// Incomplete says that a part of it could not be read when the backup was made.
	Incomplete bool `json:"incomplete,omitempty"`
	// Changed says that it was written to while it was read.
	Changed bool `json:"changed,omitempty"`
}

var typeNames = map[byte]string{
	index.Regular: "file", index.HardLink: "hardlink", index.Symlink: "symlink", index.Character: "character",
	index.Device: "block", index.Directory: "directory", index.FIFO: "fifo",
}

func printEntryJSON(w io.Writer, e *index.Entry) error {
	out := listedEntry{
		printedPath: newPrintedPath(e.Path), Type: typeNames[e.Type], Mode: fmt.Sprintf("%04o", e.Mode),
		UID: e.UID, GID: e.GID, Size: e.Size, Stored: e.Data,
		// As text, since time.Time has no JSON for the years after 9999, which files may have.
		ModTime: timeText(e.ModTime, func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }),
		Sparse:  e.Is(index.Sparse), Incomplete: e.Is(index.Flawed), Changed: e.Is(index.Mixed),
	}
	if e.Link != "" {
		link := newPrintedPath(e.Link)
		out.Link = &link
	}
	if e.Type == index.Regular {
		out.SHA256 = hex.EncodeToString(e.SHA256[:])
	}
	return json.NewEncoder(w).Encode(out)
}

// timeText formats a time, or writes it as seconds after an @, as date(1) takes it, where no calendar reaches.
func timeText(t index.Time, format func(time.Time) string) string {
	const limit = 1 << 55 // a thousand million years
	if t.Sec < -limit || t.Sec > limit {
		return "@" + tarstream.FormatTime(t)
	}
	return format(time.Unix(t.Sec, int64(t.Nsec)))
}

// modeText is a mode as `ls -l` prints it.
func modeText(e *index.Entry) string {
	kinds := map[byte]byte{
		index.Regular: '-', index.HardLink: 'h', index.Symlink: 'l', index.Character: 'c', index.Device: 'b',
		index.Directory: 'd', index.FIFO: 'p',
	}
	text := []byte{kinds[e.Type]}
	for i, c := range []byte("rwxrwxrwx") {
		if e.Mode&(0o400>>i) == 0 {
			c = '-'
		}
		text = append(text, c)
	}
	for i, special := range []struct {
		bit uint32
		c   byte
	}{{0o4000, 's'}, {0o2000, 's'}, {0o1000, 't'}} {
		at := 3 + 3*i
		switch {
		case e.Mode&special.bit == 0:
		case text[at] == 'x':
			text[at] = special.c
		default:
			text[at] = special.c - 'a' + 'A'
		}
	}
	return string(text)
}

// quotePath writes what a terminal can't be given, a backslash and bytes that aren't UTF-8 as tar does: \n, \\, \377.
func quotePath(path string) string {
	var b strings.Builder
	for i, r := range path {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\\':
			b.WriteString(`\\`)
		case r < ' ' || r == 0x7F || r == 0xFFFD && path[i] != 0xEF:
			fmt.Fprintf(&b, `\%03o`, path[i])
		case r >= 0x80 && r < 0xA0: // control characters of terminals, in two bytes
			fmt.Fprintf(&b, `\%03o\%03o`, path[i], path[i+1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
