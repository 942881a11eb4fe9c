// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Between the walk's look at a name and the reading of it, what is there may be replaced, as programs do that write a
// new file and rename it over the old one. Neither file is missing at any time, so one of them must be in the archive:
// a regular file that took the place of another one is simply archived, and where the kind of file has changed, the
// name is looked at once more. A name that goes on changing is reported as unreadable.

var (
	// errReplaced means that there is another kind of file now under the name than the walk saw.
	errReplaced = errors.New("replaced by another kind of file just before it was read")
	// errOutgrown means that another file has taken the place of a small one, too big for a frame that it shares.
	errOutgrown = errors.New("replaced by a much bigger file just before it was read")
	// errSubdirectory means that there is a directory now, which the walk has passed.
	errSubdirectory = errors.New("replaced by a directory just before it was read: what is in it isn't archived")
	// errSocket says why there is no entry for a socket.
	errSocket = errors.New("sockets aren't archived")
)

// vanished tells whether an error means that what was there a moment ago isn't there any more, and nothing else is.
func vanished(err error) bool { return errors.Is(err, unix.ENOENT) }

// replaced tells whether an error means that there is something else now than the walk saw: opening a link that mustn't
// be followed, something that isn't a directory as one, or a socket.
func replaced(err error) bool {
	return errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ENXIO) ||
		errors.Is(err, errReplaced) || errors.Is(err, errOutgrown)
}

// tryTwice calls try, and once more with what is there by then if the item turned out to be something else.
func (it *item) tryTwice(try func() error) error {
	err := try()
	if !replaced(err) {
		return err
	}
	if err := it.lookAgain(); err != nil {
		return err
	}
	return try()
}

// lookAgain makes the item what is there now under its name.
func (it *item) lookAgain() error {
	st, err := lstatAt(it.parent.fd, it.name)
	if err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	it.stat = st
	switch st.kind() {
	case unix.S_IFDIR:
		return errSubdirectory
	case unix.S_IFSOCK:
		return errSocket
	}
	return nil
}

// idRead tells which file it is that an entry has just been made of. One that isn't a regular file was read by its name,
// under which there may be another one by now, or nothing.
func (it *item) idRead() fileID {
	if it.stat.kind() == unix.S_IFREG {
		return it.stat.id
	}
	now, _ := lstatAt(it.parent.fd, it.name)
	return now.id
}
