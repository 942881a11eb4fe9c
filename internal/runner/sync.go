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

// mirror is the rsync directory while a run holds its lock.
type mirror struct {
	lock *catalog.Lock
	// owned says that the prefix is this policy's there.
	owned bool
	// complete says that everything that is to be there is there.
	complete bool
	// hangs says that the mirror doesn't answer any more: whoever looks at it then may never return.
	hangs bool
}

// reachable reports whether there is a mirror that can be looked at.
func (m *mirror) reachable() bool { return m != nil && !m.hangs }

func (m *mirror) lockOrNil() *catalog.Lock {
	if !m.reachable() {
		return nil // Giving the lock back is a request as well. The end of the process gives it back.
	}
	return m.lock
}

// sync brings to the rsync directory what it lacks.
func (r *run) sync(ctx context.Context) error {
	if r.config.RsyncDirectory == "" {
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
	_, err := catalog.CleanReceiving(r.config.RsyncDirectory, r.config.Prefix)
	_, staleErr := catalog.RemoveStale(r.config.RsyncDirectory, r.config.Prefix)
	if err := errors.Join(err, staleErr); err != nil {
		r.log.Warn("what the sync left unfinished could not be removed; the next run will try again", "error", err)
	}
}

// synchronize locks and checks the rsync directory, then sends.
func (r *run) synchronize(ctx context.Context) error {
	const flag = "--rsync-directory"
	dir := r.config.RsyncDirectory
	lock, err := r.lockDirectory(ctx, flag, dir)
	if err != nil {
		return err
	}
	r.mirror = &mirror{lock: lock}
	there, err := r.checkDirectory(flag, dir)
	if err != nil {
		return err
	}
	r.mirror.owned = true
	receiving, err := catalog.CleanReceiving(dir, r.config.Prefix)
	if err != nil {
		return directoryFault(flag, dir, err)
	}
	here, err := r.list(r.config.Directory)
	if err != nil {
		return err
	}
	send := catalog.Missing(here, there, r.rules())
	if conflicts := catalog.Conflicts(send, there); len(conflicts) > 0 {
		return fmt.Errorf("%s %s has something else under the name %s, which would be lost: move it away", flag, dir,
			strings.Join(conflicts, ", "))
	}
	space, err := catalog.MeasureSpace(dir)
	if err != nil {
		return err
	}
	if need := bytesToSend(r.config.Directory, send, there); need > 0 {
		if err := checkSpace(flag, dir, space, need); err != nil {
			return err
		}
	}
	if err := r.send(ctx, send, receiving); err != nil {
		return err
	}
	if err := catalog.SyncDirectory(dir); err != nil {
		return directoryFault(flag, dir, err)
	}
	if err := r.checkSent(send); err != nil {
		return err
	}
	dropCached(append(pathsOf(r.config.Directory, send), pathsOf(dir, send)...))
	return nil
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

// send sends the sidecars and then the archives, so that the mirror never has an archive without its sidecar either.
func (r *run) send(ctx context.Context, backups []catalog.Backup, receiving string) error {
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
			Timeout: r.config.SyncTimeout,
		}, rsync.Hooks{Progress: progress.set, Inherit: r.mirror.lock.File()})
		total.BytesSent += result.BytesSent
		total.FilesTransferred += result.FilesTransferred
		r.report.Sync.BytesSent = total.BytesSent
		if err != nil {
			r.mirror.hangs = errors.Is(err, rsync.ErrStalled) || errors.Is(err, rsync.ErrStuck)
			return r.explainSend(err)
		}
	}
	r.log.Info("synchronized", "files", total.FilesTransferred, "bytesSent", total.BytesSent,
		"took", time.Since(began).Round(time.Millisecond))
	return nil
}

// explainSend adds to an error of rsync what can be known here.
func (r *run) explainSend(err error) error {
	var failed *rsync.Error
	if errors.As(err, &failed) && failed.NoSpace() {
		if space, spaceErr := catalog.MeasureSpace(r.config.RsyncDirectory); spaceErr == nil {
			return fmt.Errorf("--rsync-directory %s ran out of space, %s are free now: free some space or keep fewer backups: %w",
				r.config.RsyncDirectory, humanBytes(space.Free), err)
		}
	}
	return fmt.Errorf("--rsync-directory %s: %w", r.config.RsyncDirectory, err)
}

// checkSent looks whether the mirror really has what was sent. rsync said so, but only what is seen there is a reason
// to remove older backups.
func (r *run) checkSent(sent []catalog.Backup) error {
	there, err := r.list(r.config.RsyncDirectory)
	if err != nil {
		return err
	}
	found := make(map[string]catalog.Backup, len(there))
	for _, b := range there {
		found[b.File] = b
	}
	for _, b := range sent {
		if copied := found[b.File]; !copied.Good() || copied.Bytes != b.Bytes || copied.Header != b.Header {
			return fmt.Errorf("--rsync-directory %s: rsync reported success, but %s is not there as it was sent: look at the "+
				"health of the remote end", r.config.RsyncDirectory, b.File)
		}
	}
	return nil
}
