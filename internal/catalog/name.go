// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package catalog is a directory of backups: how they are named, listed, written, retained and removed.
//
// A backup is two files: the archive, <prefix>-20261122T050000Z.tar.zst, and beside it, with .sha256 after its name, the
// sidecar: the checksums of the files in it, by which `sha256sum -c` checks what was restored. It doesn't speak of the
// archive's own bytes, because many of those are taken over from the archive before without being read.
//
// One directory can serve several policies if each has a prefix of its own. What a prefix needs besides its backups
// are hidden files, all of which carry the prefix:
//
//	.<prefix>.lock            held with flock(2) for as long as a run works; never removed, because removing a lock
//	                          file lets two processes lock two different files under one name
//	.<prefix>.policy          names the policy that owns the prefix in this directory
//	.<prefix>.write-test      written, read and removed by the write test
//	.<prefix>.partial/        (in a mirror) what rsync is receiving
//	.<archive>.partial        an archive that is being written
//	.<archive>.sha256.partial its sidecar that is being written
//
// Directories may be on NFS or CIFS, where root is nobody and modes are made up. So nothing here changes modes or
// owners: files are created private and that must do.
//
// Somebody else's files may be in the directory as well. The package only ever removes what carries an exact name of
// the above, is a regular file, and, for an archive, says of itself that it is the policy's own.
package catalog

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

const (
	// ArchiveSuffix ends the names of archives.
	ArchiveSuffix = ".tar.zst"
	// SidecarSuffix is appended to an archive's name for the sidecar, the file with the checksums of what is in it.
	SidecarSuffix = ".sha256"
	// partialSuffix ends the hidden names of what is being written.
	partialSuffix = ".partial"
	// timeLayout is a UTC time that sorts as text and that every file system can hold in a name.
	timeLayout = "20060102T150405Z"
	// maxPrefix leaves room for everything that is put around a prefix in names of at most 255 bytes.
	maxPrefix = 128
)

var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

// Name is the name of an archive, taken apart.
type Name struct {
	// Prefix is what the policy's settings call the filename prefix.
	Prefix string
	// Time is when the backup began, in whole seconds of UTC.
	Time time.Time
}

// String is the archive's file name.
func (n Name) String() string {
	return n.Prefix + "-" + n.Time.UTC().Format(timeLayout) + ArchiveSuffix
}

// ParseName takes an archive's file name apart. The time has a fixed width and stands at the end, so a prefix may
// contain dashes and even times: "app" never claims a backup of "app-2". It reports false for every other name.
func ParseName(file string) (Name, bool) {
	stem, ok := strings.CutSuffix(file, ArchiveSuffix)
	if !ok || len(stem) < len(timeLayout)+2 {
		return Name{}, false
	}
	cut := len(stem) - len(timeLayout)
	prefix, found := strings.CutSuffix(stem[:cut], "-")
	if !found || CheckPrefix(prefix) != nil {
		return Name{}, false
	}
	t, err := time.Parse(timeLayout, stem[cut:])
	if err != nil {
		return Name{}, false
	}
	return Name{Prefix: prefix, Time: t}, true
}

// CheckPrefix returns an error, made for people, for a prefix that can't begin the names of backups.
func CheckPrefix(prefix string) error {
	if len(prefix) > maxPrefix {
		return fmt.Errorf("the prefix has %d characters: use at most %d", len(prefix), maxPrefix)
	}
	if !prefixPattern.MatchString(prefix) {
		return fmt.Errorf("the prefix %q can't begin file names: use letters, digits, and dots, dashes or underscores "+
			"between them", prefix)
	}
	return nil
}
