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
	file   *os.File
	holder string
}

// LockRequest says who wants a lock, and for how long.
type LockRequest struct {
	// Holder describes for people who takes the lock. Those who wait for it are told.
	Holder string
	// Timeout is how long to wait for another process that has the lock; 0 means not at all.
	Timeout time.Duration
	// AnswerTimeout is how long the file system may take to answer; 0 means forever.
	AnswerTimeout time.Duration
	// Waiting, when set, is called when the wait begins, and whenever another process has taken the lock meanwhile, with
	// what that says of itself: empty if it can't be known.
	Waiting func(holder string)
}

// AcquireLock takes the lock of a prefix in a directory. If another process keeps it until the timeout, the error is
// ErrLocked; if the file system doesn't answer, it is a NoAnswerError. It also returns when ctx is done, with its cause.
// The last three name the process that has the lock.
//
// flock(2) is polled, because a blocking call can neither be given a time nor be interrupted by a context. The file
// must be writable: on NFS the lock is one of byte ranges, which the server only grants to writers.
func AcquireLock(ctx context.Context, dir, prefix string, request LockRequest) (*Lock, error) {
	w := &lockWait{dir: dir, path: lockPath(dir, prefix), request: request}
	f, err := Within(dir, request.AnswerTimeout, func() (*os.File, error) {
		return os.OpenFile(w.path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	})
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	w.file = f
	if err := w.wait(ctx); err != nil {
		var silent *NoAnswerError
		if !errors.As(err, &silent) { // Even closing the file would wait for an answer.
			f.Close()
		}
		return nil, err
	}
	return &Lock{file: f, holder: request.Holder}, nil
}

// lockWait is the wait for a lock.
type lockWait struct {
	dir, path string
	request   LockRequest
	file      *os.File
	met       bool   // The holder has been looked for.
	holder    string // Who has the lock, as far as it is known.
}

// wait returns when the lock is taken.
func (w *lockWait) wait(ctx context.Context) error {
	deadline := time.Now().Add(w.request.Timeout)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, maxLockPoll) {
		taken, err := Within(w.dir, w.request.AnswerTimeout, func() (bool, error) { return tryLock(w.file, w.request.Holder) })
		var silent *NoAnswerError
		switch {
		case errors.As(err, &silent):
			return err
		case err != nil:
			return explainLockError(w.path, err)
		case taken:
			return nil
		}
		remaining := time.Until(deadline)
		if err := w.meet(remaining > 0); err != nil {
			return err
		}
		if remaining <= 0 {
			return fmt.Errorf("%w: %s is held by another run%s: waited for %s", ErrLocked, w.path, w.describe(), w.request.Timeout)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w while waiting for another run%s", context.Cause(ctx), w.describe())
		case <-time.After(min(pause, remaining)):
		}
	}
}

// meet finds out who has the lock, and tells those who want to know if it is somebody new.
func (w *lockWait) meet(waiting bool) error {
	holder, err := Within(w.dir, w.request.AnswerTimeout, func() (string, error) { return currentHolder(w.file), nil })
	if err != nil {
		return err
	}
	isNew := !w.met || holder != w.holder
	w.met, w.holder = true, holder
	if isNew && waiting && w.request.Waiting != nil {
		w.request.Waiting(holder)
	}
	return nil
}

// describe is the holder in brackets, empty if nothing is known of it.
func (w *lockWait) describe() string {
	if w.holder == "" {
		return ""
	}
	return " (" + w.holder + ")"
}

// tryLock takes the lock if nobody has it.
func tryLock(f *os.File, holder string) (taken bool, err error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			describeHolder(f, holder)
			return true, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, unix.EACCES):
			return false, nil
		default:
			return false, err
		}
	}
}

// Beat writes to the lock file, through to the storage: a sign of life of the directory's file system, which has answered
// when Beat returns. Errors don't matter to that.
func (l *Lock) Beat() {
	if _, err := l.file.WriteAt([]byte(holderLine(l.holder)), 0); err == nil {
		_ = l.file.Sync()
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
		_, _ = f.WriteAt([]byte(holderLine(holder)), 0)
	}
}

func holderLine(holder string) string { return strings.TrimSpace(holder) + "\n" }

// currentHolder reads what the holder wrote. On CIFS a locked file can't even be read; then it is empty.
func currentHolder(f *os.File) string {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 256))
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(b)), "?")
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
