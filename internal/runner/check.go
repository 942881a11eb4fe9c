// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
	"appliance.io/backup-operator/internal/rsync"
	"golang.org/x/sys/unix"
)

// checkSettings checks what can be checked without a lock and without writing anything: the configuration, the
// sources, that directories are apart, that rsync is there, and whose the directories are.
func (r *run) checkSettings(ctx context.Context) error {
	c := &r.config
	if err := c.Validate(); err != nil {
		return settingsFault(report.ReasonInvalidSettings, err)
	}
	if err := r.probeDirectories(); err != nil {
		return err
	}
	var read []place
	for i, s := range c.Sources {
		path, err := sourceDirectory(s)
		if err != nil {
			return sourceFault(err)
		}
		c.Sources[i].Path = path
		read = append(read, place{"--source", path})
	}
	if err := checkOverlap([]place{r.storage.place}, read); err != nil {
		return settingsFault(report.ReasonInvalidSettings, err)
	}
	// If the owner can't be read now, the step that needs the directory says so.
	err := r.storage.do(func() error { return catalog.CheckOwner(c.Directory, c.Prefix, c.Policy) })
	if err != nil && !isFileError(err) {
		return ownerFault(r.storage.flag, c.Directory, err)
	}
	if r.mirror == nil {
		return nil
	}
	if err := r.checkMirror(append(read, r.storage.place)); err != nil {
		return err
	}
	command, err := rsync.Find(ctx)
	if errors.Is(err, rsync.ErrNotInstalled) {
		return settingsFault(report.ReasonInvalidSettings, fmt.Errorf("--rsync-directory %s: %w", c.RsyncDirectory, err))
	}
	r.rsync = command
	return err
}

// sourceDirectory returns the real path of a source.
func sourceDirectory(s archive.Source) (string, error) {
	path, err := filepath.EvalSymlinks(s.Path)
	if err == nil {
		var fi os.FileInfo
		if fi, err = os.Stat(path); err == nil && !fi.IsDir() {
			return "", fmt.Errorf("--source %s=%s is not a directory: give the directory that the file is in, and --exclude what "+
				"is not wanted (%w)", s.Name, s.Path, unix.ENOTDIR)
		}
	}
	if err != nil {
		return "", fmt.Errorf("--source %s=%s: %w: give a directory that is there, and look whether its volume is mounted and "+
			"in good health", s.Name, s.Path, err)
	}
	return path, nil
}

// probeDirectories finds out whether the backup directory and the sources answer at all.
func (r *run) probeDirectories() error {
	if err := catalog.Probe(r.config.Directory, r.config.AnswerTimeout); err != nil {
		return directoryFault("--directory", r.config.Directory, err)
	}
	for _, s := range r.config.Sources {
		if err := catalog.Probe(s.Path, r.config.AnswerTimeout); err != nil {
			return sourceFault(fmt.Errorf("--source %s=%s: %w", s.Name, s.Path, err))
		}
	}
	return nil
}

// check does under the lock what remains to be checked of the backup directory, claims it, and clears what killed runs
// left there.
func (r *run) check(ctx context.Context) error {
	listing, full := r.checkDirectory(r.storage)
	if full != nil && !isNoSpace(full) {
		return full
	}
	r.here = listing
	if full == nil && r.resume() {
		// That attempt may have ended before the archive's name was on disk.
		return r.storage.do(func() error { return catalog.SyncDirectory(r.config.Directory) })
	}
	r.openPrevious()
	if err := r.checkRoom(ctx); err != nil {
		return err
	}
	// A disk too full for a write test gets the same message, with the figures, as one that is too full for the backup.
	return full
}

// checkRoom compares what the archive will newly occupy with what is free. To measure that takes another walk through the
// sources. It is left out where there would be room for all that their file systems can hold, and an earlier archive
// tells how much there is to be done.
func (r *run) checkRoom(ctx context.Context) error {
	space, err := r.storage.space()
	if err != nil {
		return err
	}
	if bound, ok := archive.Bound(r.config.Sources); ok && r.previous != nil && space.Free >= bound+slack {
		r.measurement = archive.Measurement{Files: r.earlier.Files, Entries: r.earlier.Entries, Bytes: r.earlier.BytesRead}
		r.log.Info("there is room for all that the sources can hold", "bound", bound, "free", space.Free)
		return nil
	}
	r.log.Info("measuring the sources")
	r.measurement, err = archive.Measure(ctx, r.config.Sources, archive.MeasureOptions{
		Destinations: r.destinations(), Previous: r.previous, Level: r.config.Level, Target: r.config.Directory,
	})
	if err != nil {
		return err
	}
	if space, err = r.storage.space(); err != nil {
		return err
	}
	r.log.Info("measured the sources", "files", r.measurement.Files, "bytes", r.measurement.Bytes,
		"estimate", r.measurement.EstimatedBytes, "free", space.Free)
	return r.explainSpace(checkSpace("--directory", r.config.Directory, space, r.measurement.EstimatedBytes))
}

// checkDirectory makes a locked directory the policy's own, tests whether it can be written, removes what killed runs
// left, and lists its backups, also where it can't be written.
func (r *run) checkDirectory(d *directory) ([]catalog.Backup, error) {
	err := d.do(func() error { return catalog.ClaimOwner(d.path, r.config.Prefix, r.config.Policy) })
	if err != nil {
		return nil, ownerFault(d.flag, d.path, err)
	}
	removed, err := look(d, func() ([]string, error) { return catalog.RemoveStale(d.path, r.config.Prefix) })
	for _, file := range removed {
		r.log.Info("removed what a killed run left", "directory", d.path, "file", file)
	}
	if err == nil {
		err = d.do(func() error { return catalog.TestWrite(d.path, r.config.Prefix) })
	}
	backups, listErr := r.list(d)
	if err != nil {
		return backups, directoryFault(d.flag, d.path, err)
	}
	return backups, listErr
}

// ownerFault says whose a directory is, or that its owner can't be read or written.
func ownerFault(flag, dir string, err error) error {
	if isFileError(err) {
		return directoryFault(flag, dir, err)
	}
	return settingsFault(report.ReasonDirectoryOwned, fmt.Errorf("%s: %w (%s)", flag, err, report.VolumeShell))
}

// isFileError reports whether an error came from the file system and not from what was found there.
func isFileError(err error) bool {
	var path *fs.PathError
	var link *os.LinkError
	var silent *catalog.NoAnswerError
	return errors.As(err, &path) || errors.As(err, &link) || errors.As(err, &silent)
}
