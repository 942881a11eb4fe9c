// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"os"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
	"golang.org/x/sys/unix"
)

// fault is an error that ends a run, with what the report and the exit status make of it.
type fault struct {
	reason report.Reason
	err    error
	// permanent says that a retry can't help.
	permanent bool
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// settingsFault is a fault of the settings.
func settingsFault(reason report.Reason, err error) *fault {
	return &fault{reason: reason, err: err, permanent: true}
}

// sourceFault is a fault of a source that can't be read at all. It is one of the settings if they can't be meant like
// that, or if there is no such directory; whatever else a file system answers may pass: an error of its disk, a server
// that is away, a handle that went stale.
func sourceFault(err error) *fault {
	var answer unix.Errno
	var silent *catalog.NoAnswerError
	passing := errors.As(err, &silent) || errors.As(err, &answer) && answer != unix.ENOENT && answer != unix.ENOTDIR
	return &fault{reason: report.ReasonSourceMissing, err: err, permanent: !passing}
}

// asFault finds the fault in an error, or makes one of it with the reason that the failed step has for the unforeseen.
// Whatever went wrong after the run was told to stop went wrong because of that.
func asFault(ctx context.Context, err error, otherwise report.Reason) *fault {
	var f *fault
	var owned *catalog.OwnedError
	switch {
	case errors.As(err, &f) && f.reason == report.ReasonInterrupted:
		return f
	case ctx.Err() != nil && errors.As(context.Cause(ctx), &f):
		return f // What ended the run tells more than what went wrong because of that.
	case ctx.Err() != nil:
		return &fault{reason: report.ReasonInterrupted, err: fmt.Errorf("the run was told to stop: %w", err)}
	case errors.As(err, &f):
		return f
	case errors.As(err, &owned):
		return settingsFault(report.ReasonDirectoryOwned, err)
	case errors.Is(err, catalog.ErrLocked):
		return &fault{reason: report.ReasonLocked, err: err}
	case errors.Is(err, unix.EMFILE):
		// The next try would have the same limit.
		return settingsFault(otherwise, archive.ExplainOpenFiles(err))
	case errors.Is(err, unix.ENFILE):
		return &fault{reason: otherwise, err: archive.ExplainOpenFiles(err)}
	case errors.Is(err, archive.ErrInvalidExclude):
		return settingsFault(report.ReasonInvalidSettings, fmt.Errorf("--exclude: %w", err))
	case errors.Is(err, archive.ErrInvalidSource):
		return sourceFault(err)
	case isNoSpace(err):
		return &fault{reason: report.ReasonNotEnoughSpace, err: err}
	default:
		return &fault{reason: otherwise, err: err}
	}
}

// isNoSpace reports whether an error is that of a full disk or a used-up quota.
func isNoSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// directoryFault says that a directory can't be written, and whether that may pass by itself.
func directoryFault(flag, dir string, err error) *fault {
	f := &fault{reason: report.ReasonDirectoryNotWritable}
	var silent *catalog.NoAnswerError
	if errors.As(err, &silent) {
		f.err = fmt.Errorf("%s: %w", flag, silent)
		return f
	}
	fix := "look at the file system's health, and at its server if it is a remote one"
	switch {
	case isNoSpace(err):
		f.reason, fix = report.ReasonNotEnoughSpace, "it is full: "+freeSpace
	case errors.Is(err, os.ErrPermission):
		f.permanent, fix = true, fmt.Sprintf("let the user %d write there", os.Getuid())
	case errors.Is(err, unix.EROFS):
		f.permanent, fix = true, "its file system is read-only: mount it writable"
	case errors.Is(err, unix.ENOTDIR):
		f.permanent, fix = true, "something on the path is not a directory: give another path"
	}
	f.err = fmt.Errorf("%s %s can't be written (%w): %s", flag, dir, err, fix)
	return f
}
