// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// isShortage reports whether an error is about how many files this program, or the machine, may have open. A walk needs
// one for each level of directories. That is no fault of the file that couldn't be opened: an archive would lack it, and
// everything after it, although all of it can be read.
func isShortage(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// ExplainOpenFiles adds to an error what to raise if it is about how many files may be open. Others it returns as they are.
func ExplainOpenFiles(err error) error {
	switch {
	case errors.Is(err, unix.EMFILE):
		limit := unix.Rlimit{}
		_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) // 0 if it can't be told, which no limit is
		return fmt.Errorf("%w: this program may have %d files open, and needs one for each level of directories and some more: "+
			"raise the limit with \"ulimit -n\", with LimitNOFILE= in a systemd unit, or in the settings of the container runtime",
			err, limit.Cur)
	case errors.Is(err, unix.ENFILE):
		return fmt.Errorf("%w: all programs on this machine together have too many files open: raise the sysctl fs.file-max", err)
	}
	return err
}
