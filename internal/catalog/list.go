// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"golang.org/x/sys/unix"
)

// State is what can be said of an archive without reading all of it.
type State string

const (
	// Complete is an archive with everything in it.
	Complete State = "Complete"
	// Incomplete is a good archive that lacks something: files that couldn't be read, or all files of a source.
	Incomplete State = "Incomplete"
	// Damaged is an archive whose end is missing or can't be read. Runs never leave one behind under an archive's
	// name, so somebody should look into it; it counts for nothing and is never removed.
	Damaged State = "Damaged"
	// Foreign is a file that only has the name of an archive, or one that a newer program wrote. It is left alone.
	Foreign State = "Foreign"
)

// Backup is one archive in a directory.
type Backup struct {
	// File is the archive's file name.
	File string
	// Name is the file name, taken apart.
	Name Name
	// Bytes is the archive's size.
	Bytes int64
	// Ahead says that the time in the name had yet to come when the backup was listed: the clock was wrong then, or is now.
	Ahead bool
	// Distrusted says that a run that reused this backup found data in it damaged. It may be restored, but doesn't count.
	Distrusted bool
	// ModTime is the file's time of modification, which rsync takes along.
	ModTime time.Time
	// State is what the archive is good for.
	State State
	// Header says whose it is. It is empty for a foreign file, and may be for a damaged one.
	Header archive.Header
	// Summary says what is in it. It is empty unless the state is Complete or Incomplete.
	Summary archive.Summary
	// Err says why the state is Damaged or Foreign, nil otherwise.
	Err error
}

// Good reports whether the archive can be restored.
func (b Backup) Good() bool { return b.State == Complete || b.State == Incomplete }

// List returns the backups in a directory, the one made last first, with what each says about itself. An empty prefix
// lists all prefixes. An archive that can't be read is listed as damaged rather than failing the list, because the others
// are still there; only a directory that can't be read is an error.
func List(dir, prefix string, now time.Time) ([]Backup, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the backups in %s: %w", dir, err)
	}
	var backups []Backup
	for _, e := range entries {
		name, ok := ParseName(e.Name())
		if !ok || (prefix != "" && name.Prefix != prefix) {
			continue
		}
		b, err := inspect(dir, e.Name(), name)
		if errors.Is(err, os.ErrNotExist) {
			continue // Pruned by a run between the listing and now.
		}
		b.Ahead = name.Time.After(now.Add(clockTolerance))
		backups = append(backups, b)
	}
	return ordered(backups), nil
}

// ordered sorts a listing and marks what its backups say of each other.
func ordered(backups []Backup) []Backup {
	slices.SortFunc(backups, newestFirst)
	for i, by := range backups {
		if !by.Good() || by.Summary.DamagedPrevious == "" {
			continue
		}
		for k := range backups[i+1:] {
			if of := &backups[i+1+k]; of.File == by.Summary.DamagedPrevious && of.Header.Policy == by.Header.Policy {
				of.Distrusted = true
			}
		}
	}
	return backups
}

// Merge unites the listings of a backup directory and its mirror, the one made last first: where both have a
// backup, the first one's entry stands.
func Merge(here, mirror []Backup) []Backup {
	union := slices.Clone(here)
	for _, b := range mirror {
		if !slices.ContainsFunc(here, func(h Backup) bool { return h.File == b.File }) {
			union = append(union, b)
		}
	}
	return ordered(union)
}

// inspect reads what one archive says about itself. The error is only ever that the file is gone.
func inspect(dir, file string, name Name) (Backup, error) {
	b := Backup{File: file, Name: name}
	f, err := OpenRegular(filepath.Join(dir, file))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return b, err
	case errors.Is(err, errNotRegular):
		b.State, b.Err = Foreign, err
		return b, nil
	case err != nil:
		b.State, b.Err = Damaged, err
		return b, nil
	}
	defer f.Close()
	b.read(f)
	return b, nil
}

// read reads what an open archive says about itself.
func (b *Backup) read(f *os.File) {
	fi, err := f.Stat()
	if err != nil {
		b.State, b.Err = Damaged, err
		return
	}
	b.Bytes, b.ModTime = fi.Size(), fi.ModTime()
	info, err := archive.ReadInfo(f, fi.Size())
	b.State, b.Err = judge(info, err), err
	b.Header = info.Header
	if b.Good() {
		b.Summary = info.Summary
	}
}

// isStill reports whether a backup, looked at once more, is the good one that it was.
func (b Backup) isStill(was Backup) bool {
	return b.Good() && was.Good() && b.Header == was.Header && b.Bytes == was.Bytes
}

// Open opens a good backup for reading. It refuses a file that isn't what the listing said any more.
func Open(dir string, b Backup) (*os.File, error) {
	f, err := OpenRegular(filepath.Join(dir, b.File))
	if err != nil {
		return nil, fmt.Errorf("open the backup %s: %w", b.File, err)
	}
	now := Backup{File: b.File, Name: b.Name}
	if now.read(f); !now.isStill(b) {
		f.Close()
		return nil, fmt.Errorf("%s in %s is not the backup that was listed (it is %s now)", b.File, dir, now.State)
	}
	return f, nil
}

// SidecarBytes is the size of a backup's sidecar, 0 if there is none.
func SidecarBytes(dir string, b Backup) int64 {
	fi, err := os.Lstat(filepath.Join(dir, b.File+SidecarSuffix))
	if err != nil || !fi.Mode().IsRegular() {
		return 0
	}
	return fi.Size()
}

// judge maps what reading an archive's own words gave to a state.
func judge(info archive.Info, err error) State {
	switch {
	case err == nil && info.Summary.Complete:
		return Complete
	case err == nil:
		return Incomplete
	case errors.Is(err, archive.ErrNotArchive), errors.Is(err, archive.ErrFutureFormat):
		return Foreign
	default:
		return Damaged
	}
}

var errNotRegular = errors.New("not a regular file")

// OpenRegular opens a file for reading and refuses everything that isn't a regular file: a symbolic link could lead
// anywhere, and a named pipe would block for ever.
func OpenRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		return nil, fmt.Errorf("%s: %w", path, errNotRegular)
	}
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", path, errNotRegular)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
