// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package rsync is rsync(1) as a typed command: a list of files in one directory is brought to another, on this machine
// or on a server.
//
// It uses rsync for what rsync is good at: it sends only what differs, writes under temporary names, and speaks to all
// kinds of remote ends. It doesn't use what rsync is feared for: there is no way to make this package say --delete, nor
// to send anything that wasn't named. Ownership and modes aren't sent either, because those of the files in a backup
// are inside the archives, and a remote end that squashes root (NFS) or makes modes up (CIFS) would refuse them.
package rsync

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Options say what is brought where.
type Options struct {
	// Source is the directory that holds the files.
	Source string
	// Server is where Destination is; nil means that it is a directory of this machine.
	Server Server
	// Destination is the directory to which they are brought. It must exist, but for its last part on a server.
	Destination string
	// Files are the names of the files in Source, without slashes.
	Files []string
	// Temporary is a directory on the file system of Destination, in which files are received before they get their
	// names. Empty means Destination itself: until then they are called .NAME.RANDOM there, which is not the name of an
	// archive.
	Temporary string
	// Flush makes rsync flush every file to disk before it gets its name. rsync has that since 3.2.4; on a server, too,
	// it must be no older then.
	Flush bool
	// IgnoreTimes sends files even if the other end has them with the same size and time.
	IgnoreTimes bool
	// Timeout ends a transfer in which nothing has moved for so long; 0 means never.
	Timeout time.Duration
}

// Arguments are the command line's arguments for the options. The files' names aren't among them: they are read from
// standard input, so that neither their number nor their characters matter.
func (o Options) Arguments() []string {
	args := []string{
		"--files-from=-", "--from0",
		"--times", // What has the same size and time isn't sent again.
		"--no-owner", "--no-group", "--no-perms", "--omit-dir-times",
		"--stats", "--info=progress2", "--no-human-readable", "--outbuf=Line",
	}
	target := directory(o.Destination)
	if o.Server == nil {
		args = append(args, "--whole-file")
	} else {
		args = append(append(args, "--no-whole-file", "--fuzzy"), o.Server.arguments()...)
		target = o.Server.target(o.Destination)
	}
	if o.Temporary != "" {
		args = append(args, "--temp-dir="+o.Temporary)
	}
	if o.IgnoreTimes {
		args = append(args, "--ignore-times")
	}
	if o.Flush {
		args = append(args, "--fsync")
	}
	if seconds := int64(o.Timeout / time.Second); seconds > 0 {
		args = append(args, "--timeout="+strconv.FormatInt(seconds, 10))
	}
	return append(args, "--", directory(o.Source), target)
}

// directory ends a path in a slash, which tells rsync that it is a directory. The path is absolute, so a colon in it
// isn't taken for a host's name.
func directory(path string) string { return strings.TrimRight(path, "/") + "/" }

// input is what rsync reads from standard input.
func (o Options) input() string {
	var b strings.Builder
	for _, f := range o.Files {
		b.WriteString(f)
		b.WriteByte(0)
	}
	return b.String()
}

// check returns an error for what rsync would understand otherwise than it is meant.
func (o Options) check() error {
	directories := []string{o.Source}
	if o.Server == nil {
		directories = append(directories, o.Destination)
	} else if err := checkServer(o.Server, o.Destination); err != nil {
		return err
	}
	for _, dir := range directories {
		if !strings.HasPrefix(dir, "/") {
			return fmt.Errorf("rsync: the directory %q is not absolute: rsync could take it for a host's name", dir)
		}
	}
	for _, f := range o.Files {
		if f == "" || f == "." || f == ".." || strings.ContainsAny(f, "/\x00") {
			return fmt.Errorf("rsync: %q is not a file's name", f)
		}
	}
	return nil
}
