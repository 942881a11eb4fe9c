// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
	"appliance.io/backup-operator/internal/rsync"
)

// sync brings to the rsync directory what it lacks.
func (r *run) sync(ctx context.Context) error {
	if r.mirror == nil {
		return nil
	}
	r.report.Sync = &report.Sync{}
	err := r.synchronize(ctx)
	if err == nil {
		r.mirror.complete = true
		r.report.Sync.OK = true
		return nil
	}
	r.tidyMirror()
	f := asFault(ctx, err, report.ReasonSyncFailed)
	if f.reason != report.ReasonInterrupted && f.reason != report.ReasonDirectoryOwned {
		// Whatever is wrong with the mirror: the archive is there, and a retry goes on from it.
		f = &fault{reason: report.ReasonSyncFailed, err: f.err}
	}
	r.report.Sync.Message = f.err.Error()
	return f
}

// tidyMirror removes what a sync that failed left unfinished: files half received, and sidecars whose archives didn't
// come any more. Should that fail too, the next run does it.
func (r *run) tidyMirror() {
	if !r.mirror.reachable() || !r.mirror.owned {
		return // Not ours to touch, or not there to be.
	}
	err := r.mirror.do(func() error {
		_, err := catalog.CleanReceiving(r.mirror.path, r.config.Prefix)
		_, staleErr := catalog.RemoveStale(r.mirror.path, r.config.Prefix)
		return errors.Join(err, staleErr)
	})
	if err != nil {
		r.log.Warn("what the sync left unfinished could not be removed; the next run will try again", "error", err)
	}
}

// synchronize locks and checks the rsync directory, then sends.
func (r *run) synchronize(ctx context.Context) error {
	m := r.mirror
	if m.silent != nil {
		return directoryFault(m.flag, m.path, m.silent)
	}
	lock, err := r.lockDirectory(ctx, &m.directory, min(r.config.LockTimeout, mirrorLockTimeout))
	if err != nil {
		return err
	}
	m.lock = lock
	there, err := r.checkDirectory(&m.directory)
	if err != nil {
		return err
	}
	m.owned = true
	receiving, err := look(&m.directory, func() (string, error) { return catalog.CleanReceiving(m.path, r.config.Prefix) })
	if err != nil {
		return directoryFault(m.flag, m.path, err)
	}
	here, err := r.list(r.storage)
	if err != nil {
		return err
	}
	send := catalog.MissingSound(here, there, r.rules(), r.examine(r.storage))
	if conflicts := catalog.Conflicts(send, there); len(conflicts) > 0 {
		return fmt.Errorf("%s %s has something else under the name %s, which would be lost: move it away (%s)", m.flag, m.path,
			strings.Join(conflicts, ", "), report.VolumeShell)
	}
	if err := r.checkMirrorSpace(bytesToSend(r.config.Directory, send, there)); err != nil {
		return err
	}
	if err := r.send(ctx, send, receiving, false); err != nil {
		return err
	}
	if err := r.mendMirror(ctx, send, receiving); err != nil {
		return err
	}
	return m.do(func() error {
		dropCached(append(pathsOf(r.config.Directory, send), pathsOf(m.path, send)...))
		return nil
	})
}

// checkMirrorSpace returns a fault if the mirror lacks the space for what is to be sent.
func (r *run) checkMirrorSpace(need int64) error {
	if need == 0 {
		return nil
	}
	space, err := r.mirror.space()
	if err != nil {
		return err
	}
	return r.explainSpace(checkSpace(r.mirror.flag, r.mirror.path, space, need))
}

// bytesToSend is how many bytes of a directory's backups, with their sidecars, the mirror doesn't have yet. One that it
// has in another size will be replaced, and needs space for both while it is received.
func bytesToSend(dir string, send, there []catalog.Backup) int64 {
	sizes := make(map[string]int64, len(there))
	for _, b := range there {
		sizes[b.File] = b.Bytes
	}
	var need int64
	for _, b := range send {
		if size, ok := sizes[b.File]; !ok || size != b.Bytes {
			need += b.Bytes + catalog.SidecarBytes(dir, b)
		}
	}
	return need
}

// send sends the sidecars and then the archives, so that the mirror never has an archive without its sidecar either. What
// is there with the same size and time is only sent again if that is asked for.
func (r *run) send(ctx context.Context, backups []catalog.Backup, receiving string, again bool) error {
	var sidecars, archives []string
	for _, b := range backups {
		sidecars = append(sidecars, b.File+catalog.SidecarSuffix)
		archives = append(archives, b.File)
	}
	var progress latest[rsync.Progress]
	began := time.Now()
	watch := every(r.config.ProgressInterval, func() {
		p := progress.get()
		r.log.Info("synchronizing", "bytes", p.Bytes, "percent", p.Percent,
			"bytesPerSecond", int64(float64(p.Bytes)/time.Since(began).Seconds()))
	})
	defer watch.stop()
	defer tidyCache(tidyInterval, func() []string {
		return append(pathsOf(r.config.Directory, backups), filesIn(receiving)...)
	})()
	var total rsync.Result
	for _, files := range [][]string{sidecars, archives} {
		result, err := r.rsync.Run(ctx, rsync.Options{
			Source: r.config.Directory, Destination: r.config.RsyncDirectory, Files: files, Temporary: receiving, Flush: true,
			IgnoreTimes: again, Timeout: r.config.SyncTimeout,
		}, rsync.Hooks{Progress: progress.set, Inherit: r.mirror.lock.File()})
		total.BytesSent += result.BytesSent
		total.FilesTransferred += result.FilesTransferred
		r.report.Sync.BytesSent += result.BytesSent
		if err != nil {
			if errors.Is(err, rsync.ErrStalled) || errors.Is(err, rsync.ErrStuck) {
				r.mirror.silent = err
			}
			return r.explainSend(err)
		}
	}
	if err := r.mirror.do(func() error { return catalog.SyncDirectory(r.mirror.path) }); err != nil {
		return directoryFault(r.mirror.flag, r.mirror.path, err)
	}
	r.log.Info("synchronized", "files", total.FilesTransferred, "bytesSent", total.BytesSent,
		"took", time.Since(began).Round(time.Millisecond))
	return nil
}

// explainSend adds to an error of rsync what can be known here.
func (r *run) explainSend(err error) error {
	var failed *rsync.Error
	if errors.As(err, &failed) && failed.NoSpace() {
		space, spaceErr := r.mirror.space()
		if spaceErr == nil {
			return fmt.Errorf("--rsync-directory %s ran out of space, %s are free now: %s or keep fewer backups: %w",
				r.config.RsyncDirectory, humanBytes(space.Free), freeSpace, err)
		}
	}
	return fmt.Errorf("--rsync-directory %s: %w", r.config.RsyncDirectory, err)
}
