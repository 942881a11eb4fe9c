// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// Remove removes a backup: the archive first, then the sidecar. Whoever is killed between the two leaves a sidecar
// alone, which RemoveStale finds; the other way about would leave an archive without one for good.
//
// It looks at the file once more and refuses if it isn't what the listing said, so that a decision made on one file is
// never carried out on another.
func Remove(dir string, b Backup) error {
	now, err := inspect(dir, b.File, b.Name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if !now.isStill(b) {
		return fmt.Errorf("%s in %s is not the backup that was to be removed (it is %s now): left alone", b.File, dir, now.State)
	}
	path := filepath.Join(dir, b.File)
	for _, p := range []string{path, path + SidecarSuffix} {
		if err := removeRegular(p); err != nil {
			return fmt.Errorf("remove the backup %s: %w", b.File, err)
		}
	}
	return nil
}

// RemoveStale removes what killed runs left of a prefix: partial files, and sidecars whose archive is gone or was
// never there. It must be called under the lock. It returns the names of what it removed, for the log.
func RemoveStale(dir, prefix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look for what killed runs left in %s: %w", dir, err)
	}
	present := make(map[string]bool, len(entries))
	for _, e := range entries {
		present[e.Name()] = true
	}
	var removed []string
	var errs []error
	for _, e := range entries {
		if !e.Type().IsRegular() || !stale(dir, prefix, e.Name(), present) {
			continue
		}
		if err := removeRegular(filepath.Join(dir, e.Name())); err != nil {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, e.Name())
	}
	return removed, errors.Join(errs...)
}

// stale reports whether a name is one that only a killed run of this prefix can have left.
func stale(dir, prefix, file string, present map[string]bool) bool {
	own := func(archive string) bool {
		name, ok := ParseName(archive)
		return ok && name.Prefix == prefix
	}
	if file == filepath.Base(writeTestPath(dir, prefix)) || file == filepath.Base(partialPath(ownerPath(dir, prefix))) {
		return true
	}
	if hidden, ok := strings.CutPrefix(file, "."); ok {
		target, ok := strings.CutSuffix(hidden, partialSuffix)
		return ok && own(strings.TrimSuffix(target, SidecarSuffix))
	}
	archive, ok := strings.CutSuffix(file, SidecarSuffix)
	return ok && own(archive) && !present[archive] && isSidecar(filepath.Join(dir, file))
}

// sidecarStart is how a line of a sidecar begins: as sha256sum(1) has it, or as the comment on a file that isn't listed.
var sidecarStart = regexp.MustCompile(`^(\\?[0-9a-f]{64}  |# (sparse|incomplete), not listed: )`)

// isSidecar reports whether a file begins like what Commit writes, and isn't a stranger's with that name. An archive
// without files has an empty one.
func isSidecar(path string) bool {
	f, err := OpenRegular(path)
	if err != nil {
		return false
	}
	defer f.Close()
	start, err := io.ReadAll(io.LimitReader(f, 128))
	return err == nil && (len(start) == 0 || sidecarStart.Match(start))
}

// removeRegular removes a regular file and nothing else. That it is gone already is fine.
func removeRegular(path string) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s: %w: left alone", path, errNotRegular)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// CleanReceiving makes the directory in which a mirror receives files, empties it of what killed runs left, and
// returns its path. Only regular files in it are removed: rsync makes no others there.
func CleanReceiving(dir, prefix string) (string, error) {
	receiving := filepath.Join(dir, "."+prefix+partialSuffix)
	if err := os.Mkdir(receiving, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	fi, err := os.Lstat(receiving)
	if err != nil {
		return "", err
	}
	if !fi.IsDir() {
		return "", &os.PathError{Op: "receive into", Path: receiving, Err: unix.ENOTDIR}
	}
	entries, err := os.ReadDir(receiving)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			if err := removeRegular(filepath.Join(receiving, e.Name())); err != nil {
				return "", err
			}
		}
	}
	return receiving, nil
}
