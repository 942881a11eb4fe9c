// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"appliance.io/backup-operator/internal/archive/tarstream"
	"golang.org/x/sys/unix"
)

// errNoRoom means that an attribute is bigger than the target's file system takes.
var errNoRoom = errors.New("too big for the attributes of a file here")

// setXattrs sets extended attributes and access control lists.
func (r *restorer) setXattrs(h handle, header *tarstream.Header, try func(string, error) error) error {
	for _, x := range header.Xattrs {
		if strings.HasPrefix(x.Name, "system.") {
			// Only archives of earlier versions have these. Setting one could undo the mode or the ACL.
			r.ledger.refuse(x.Name)
			continue
		}
		err := h.set(x.Name, x.Value)
		if err != nil && belongsToSystem(x.Name) && concernsOneFile(err) {
			r.ledger.refuse(x.Name)
			continue
		}
		if err := try("attribute "+strconv.Quote(x.Name), err); err != nil {
			return err
		}
	}
	if header.AccessACL != nil {
		if err := try("access control list", h.set(accessACL, header.AccessACL)); err != nil {
			return err
		}
	}
	if header.DefaultACL != nil {
		return try("default access control list", h.set(defaultACL, header.DefaultACL))
	}
	return nil
}

// set sets one attribute.
func (h *handle) set(name string, value []byte) error {
	err := retry(func() error { return h.setXattr(name, value) })
	if errors.Is(err, unix.EACCES) && h.chmod != nil && h.chmod(0o600) == nil {
		// It takes the right to write. The file gets its mode after its attributes.
		err = retry(func() error { return h.setXattr(name, value) })
	}
	if errors.Is(err, unix.ENOSPC) {
		// ext4 says so where an attribute is too big for it. If the disk is full, the next file tells.
		err = fmt.Errorf("%w: %w", errNoRoom, err)
	}
	return err
}

// belongsToSystem reports whether an attribute is for the system that a file is on, such as its SELinux label: a file
// that was restored to another system is complete without it. These take privileges that a restore may not have.
func belongsToSystem(name string) bool {
	return strings.HasPrefix(name, "security.") || strings.HasPrefix(name, "trusted.")
}
