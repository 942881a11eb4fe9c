// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked means that somebody else held a lock for as long as one was willing to wait. The error's text says who.
var ErrLocked = errors.New("locked")

// maxLockPoll is the longest pause between two attempts to take a lock.
const maxLockPoll = time.Second

// Lock is a held lock on one prefix of a directory. The kernel releases it when the process ends, however it ends.
type Lock struct {
	file *os.File
}

// AcquireLock takes the lock of a prefix in a directory, waiting for up to timeout if another process has it: then the
// error is ErrLocked. It also returns when ctx is done. The holder is a word for people about who takes it; those who
// wait in vain are told.
//
// flock(2) is polled, because a blocking call can neither be given a time nor be interrupted by a context. The file
// must be writable: on NFS the lock is one of byte ranges, which the server only grants to writers.
func AcquireLock(ctx context.Context, dir, prefix, holder string, timeout time.Duration) (*Lock, error) {
	path := lockPath(dir, prefix)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	deadline := time.Now().Add(timeout)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, maxLockPoll) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			describeHolder(f, holder)
			return &Lock{file: f}, nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EACCES):
			f.Close()
			return nil, explainLockError(path, err)
		}
		remaining := time.Until(deadline)
		if remaining <= 0 {
			defer f.Close()
			return nil, fmt.Errorf("%w: %s has been held for %s by another run%s", ErrLocked, path, timeout, currentHolder(f))
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		case <-time.After(min(pause, remaining)):
		}
	}
}

// File is the open file that holds the lock. A child process that inherits it holds the lock too until it ends.
func (l *Lock) File() *os.File { return l.file }

// Release gives the lock back. The file stays.
func (l *Lock) Release() error { return l.file.Close() }

func lockPath(dir, prefix string) string { return filepath.Join(dir, "."+prefix+".lock") }

// describeHolder leaves a word for those who will wait. That it may fail, on a full disk for one, is of no consequence.
func describeHolder(f *os.File, holder string) {
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strings.TrimSpace(holder)+"\n"), 0)
	}
}

// currentHolder reads what the holder wrote. On CIFS a locked file can't even be read; then it is empty.
func currentHolder(f *os.File) string {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 256))
	if text := strings.ToValidUTF8(strings.TrimSpace(string(b)), "?"); err == nil && text != "" {
		return " (" + text + ")"
	}
	return ""
}

func explainLockError(path string, err error) error {
	switch {
	case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("the file system of %s doesn't do locks (flock: %w), and without them two runs could spoil each "+
			"other's work: mount it with locks (for NFS without nolock and with a lock service, for CIFS without nobrl), "+
			"or use another directory", path, err)
	default:
		return fmt.Errorf("lock %s: %w", path, err)
	}
}
