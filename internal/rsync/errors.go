// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package rsync

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// ErrNotInstalled means that there is no rsync to run.
var ErrNotInstalled = errors.New("rsync is not installed: install it, or do without a directory to synchronize to")

// ErrStalled means that nothing has moved for as long as Options.Timeout allows.
var ErrStalled = errors.New("nothing moved for too long: look whether the remote end still answers")

// ErrStuck means that a transfer was told to stop and then killed, and a process of it is there all the same: it waits
// in the kernel for a file system that doesn't answer. It ends when that does, or when it is unmounted by force, and
// holds what it inherited until then.
var ErrStuck = errors.New("rsync can't be ended, because it waits for a file system that does not answer: look whether " +
	"the remote end still runs and can be reached, or unmount it by force")

// ErrHostKey means that the server isn't the one that the known_hosts file knows. Nothing was sent to it.
var ErrHostKey = errors.New("the server's host key is unknown or has changed, and it was sent nothing: make sure that " +
	"it is the right server, and put its public key into the known_hosts file")

// ErrRefused means that the server didn't let the user in.
var ErrRefused = errors.New("the server refused the login: look at the user and the key or password")

// Error is a transfer that failed.
type Error struct {
	// Code is rsync's exit status, -1 if a signal ended it.
	Code int
	// Output is the last lines that rsync wrote to standard error, on one line.
	Output string
}

// Error says what the status means, and what rsync said.
func (e *Error) Error() string {
	what := meaning(e.Code)
	for _, known := range []error{ErrHostKey, ErrRefused} {
		if e.Is(known) {
			what = known.Error()
		}
	}
	text := fmt.Sprintf("rsync failed: %s (exit status %d)", what, e.Code)
	if e.Output != "" {
		text += ": " + e.Output
	}
	return text
}

// refused is how ssh and an rsync daemon tell that a login failed. Files are denied with a number in the brackets.
var refused = regexp.MustCompile(`Permission denied \([a-z]|auth failed on module`)

// Is makes a timeout that rsync itself noticed an ErrStalled, and knows by what was said why a server isn't reached.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrStalled:
		return e.Code == 30
	case ErrHostKey:
		return strings.Contains(e.Output, "Host key verification failed")
	case ErrRefused:
		return refused.MatchString(e.Output)
	default:
		return false
	}
}

// NoSpace reports whether rsync ran out of space. rsync has no status of its own for that.
func (e *Error) NoSpace() bool {
	return strings.Contains(e.Output, "No space left on device") || strings.Contains(e.Output, "Disk quota exceeded")
}

// meaning says what an exit status of rsync means, after rsync(1).
func meaning(code int) string {
	switch code {
	case -1:
		return "it was killed"
	case 1, 2, 4, 6:
		return "this rsync doesn't know what it was asked for: use rsync 3.1.3 or newer"
	case 3:
		return "the files or directories could not be chosen: look whether both directories are there"
	case 5, 10, 12, 35, 255:
		return "the connection to the remote end failed: look whether it runs and can be reached"
	case 11:
		return "a file could not be read or written: look at the space and the health of both ends"
	case 13, 14, 21, 22:
		return "it ran out of resources"
	case 20:
		return "it was interrupted"
	case 23:
		return "some files were not transferred"
	case 24:
		return "some files vanished before they were transferred"
	case 30:
		return "nothing moved for too long: look whether the remote end still answers"
	case 126, 127:
		return "it could not be started: install rsync"
	default:
		return "for a reason of its own"
	}
}

// explain turns what exec says into an error of this package.
func explain(err error, output string) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		return &Error{Code: exit.ExitCode(), Output: output}
	case errors.Is(err, exec.ErrNotFound):
		return ErrNotInstalled
	default:
		return fmt.Errorf("run rsync: %w", err)
	}
}
