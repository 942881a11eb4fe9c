// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package tarstream

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
)

var errACL = errors.New("not an access control list")

// noID is what the kernel has for the identity of entries that have none.
const noID = 1<<32 - 1

// maxACLEntries is how many entries fit into the biggest attribute: eight bytes each.
const maxACLEntries = maxXattrValue / 8

// parseACL turns an access control list from text, one entry per line, into the kernel's form.
func parseACL(text string) ([]byte, error) {
	if strings.Count(text, "\n") > maxACLEntries {
		return nil, errACL
	}
	acl := binary.LittleEndian.AppendUint32(nil, 2)
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		parts := strings.Split(line, ":")
		if len(parts) != 3 {
			return nil, errACL
		}
		tag, id, err := aclTag(parts[0], parts[1])
		if err != nil {
			return nil, err
		}
		perm, err := aclPermissions(parts[2])
		if err != nil {
			return nil, err
		}
		acl = binary.LittleEndian.AppendUint16(acl, tag)
		acl = binary.LittleEndian.AppendUint16(acl, perm)
		acl = binary.LittleEndian.AppendUint32(acl, id)
	}
	return acl, nil
}

// aclTag is the kernel's number for whom an entry is about.
func aclTag(kind, who string) (tag uint16, id uint32, err error) {
	tags := map[string][2]uint16{"user": {1, 2}, "group": {4, 8}, "mask": {0x10, 0}, "other": {0x20, 0}}
	t, ok := tags[kind]
	switch {
	case !ok:
		return 0, 0, errACL
	case who == "":
		return t[0], noID, nil
	case t[1] == 0:
		return 0, 0, errACL
	}
	n, err := strconv.ParseUint(who, 10, 32)
	if err != nil {
		return 0, 0, errACL
	}
	return t[1], uint32(n), nil
}

func aclPermissions(text string) (uint16, error) {
	if len(text) != 3 {
		return 0, errACL
	}
	perm := uint16(0)
	for i, want := range []byte("rwx") {
		switch text[i] {
		case want:
			perm |= 4 >> i
		case '-':
		default:
			return 0, errACL
		}
	}
	return perm, nil
}
