// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// POSIX ACLs are stored in extended attributes in a binary form of the kernel's. They are archived as text under the
// keys that star introduced, which GNU tar and bsdtar both restore.
const (
	accessACL     = "system.posix_acl_access"
	defaultACL    = "system.posix_acl_default"
	paxAccessACL  = "SCHILY.acl.access"
	paxDefaultACL = "SCHILY.acl.default"
	paxXattr      = "SCHILY.xattr."
)

// xattrReader lists and reads the extended attributes of one file, as listxattr(2) and getxattr(2) do.
type xattrReader struct {
	list func(dst []byte) (int, error)
	get  func(name string, dst []byte) (int, error)
}

// xattrsOf reads the attributes of an open file.
func xattrsOf(fd int) xattrReader {
	return xattrReader{
		list: func(dst []byte) (int, error) { return unix.Flistxattr(fd, dst) },
		get:  func(name string, dst []byte) (int, error) { return unix.Fgetxattr(fd, name, dst) },
	}
}

// xattrsAt reads the attributes of a file that can't be opened: a link, a device, a pipe.
func xattrsAt(dir int, name string) xattrReader {
	path := procPath(dir, name)
	return xattrReader{
		list: func(dst []byte) (int, error) { return unix.Llistxattr(path, dst) },
		get:  func(name string, dst []byte) (int, error) { return unix.Lgetxattr(path, name, dst) },
	}
}

// maxAttributes is how many bytes of attributes an entry may have: sixteen of the biggest ones that there can be. A file
// may have hundreds of times as much, and a frame that is made of such entries must fit into memory, here and where the
// archive is read.
const maxAttributes = 1 << 20

// records gives a file's extended attributes and ACLs as pax records. Attributes that can't be read, or are too many, are
// left out and told in the error, with the others returned all the same.
func (r xattrReader) records() ([]record, error) {
	names, err := fill(r.list)
	if err != nil || len(names) == 0 {
		return nil, ignoreAbsent(err)
	}
	var records []record
	var failed error
	room := maxAttributes
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if !isArchived(name) {
			continue
		}
		value, err := fill(func(dst []byte) (int, error) { return r.get(name, dst) })
		if err == nil {
			var rec record
			rec, err = xattrRecord(name, value)
			if room -= len(rec.key) + len(rec.value); room < 0 {
				return records, errors.Join(failed, fmt.Errorf("extended attributes of more than %d bytes", maxAttributes))
			}
			if err == nil && rec.key != "" {
				records = append(records, rec)
			}
		}
		if err = ignoreAbsent(err); err != nil {
			failed = errors.Join(failed, fmt.Errorf("extended attribute %s: %w", name, err))
		}
	}
	return records, failed
}

// isArchived reports whether an attribute goes into the archive. Attributes in system. belong to the file system and not
// to the file: NFSv4 ACLs, the DOS attributes of NTFS and CIFS. No other file system takes them. POSIX ACLs, which every
// file system keeps there, are the exception.
func isArchived(name string) bool {
	return !strings.HasPrefix(name, "system.") || name == accessACL || name == defaultACL
}

// ignoreAbsent drops the errors that mean that there is nothing to be read.
func ignoreAbsent(err error) error {
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

// fill calls a system call with a buffer that is as long as it needs to be.
func fill(call func(dst []byte) (int, error)) ([]byte, error) {
	var small [256]byte
	buf := small[:]
	for {
		n, err := call(buf)
		switch {
		case err == nil:
			return append([]byte(nil), buf[:n]...), nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ERANGE) && len(buf) < 1<<20:
			buf = make([]byte, 16*len(buf))
		default:
			return nil, err
		}
	}
}

// xattrRecord is the pax record of one attribute.
func xattrRecord(name string, value []byte) (record, error) {
	switch name {
	case accessACL:
		return aclRecord(paxAccessACL, value)
	case defaultACL:
		return aclRecord(paxDefaultACL, value)
	}
	// A key ends at its first equals sign, so GNU tar writes those, and the sign it does so with, as in URLs.
	name = strings.NewReplacer("%", "%25", "=", "%3D").Replace(name)
	return record{paxXattr + name, string(value)}, nil
}

// aclRecord is the record of an access control list; one without a key if the list says nothing.
func aclRecord(key string, value []byte) (record, error) {
	text, err := formatACL(value)
	if text == "" {
		return record{}, err
	}
	return record{key, text}, err
}

// formatACL turns the kernel's form of an ACL into text: one line per entry, owners as numbers. A list without entries
// says nothing and has no text.
func formatACL(value []byte) (string, error) {
	const version, headerSize, entrySize = 2, 4, 8
	if len(value) < headerSize || binary.LittleEndian.Uint32(value) != version ||
		(len(value)-headerSize)%entrySize != 0 {
		return "", errors.New("the access control list has an unknown form")
	}
	if len(value) == headerSize {
		return "", nil
	}
	tags := map[uint16]string{1: "user", 2: "user", 4: "group", 8: "group", 0x10: "mask", 0x20: "other"}
	var lines []string
	for e := value[headerSize:]; len(e) > 0; e = e[entrySize:] {
		tag, perm := binary.LittleEndian.Uint16(e), binary.LittleEndian.Uint16(e[2:])
		name, ok := tags[tag]
		if !ok || perm > 7 {
			return "", errors.New("the access control list has an unknown entry")
		}
		id := ""
		if tag == 2 || tag == 8 {
			id = strconv.FormatUint(uint64(binary.LittleEndian.Uint32(e[4:])), 10)
		}
		lines = append(lines, name+":"+id+":"+permissions(perm))
	}
	return strings.Join(lines, "\n") + "\n", nil
}

func permissions(perm uint16) string {
	text := []byte("rwx")
	for i := range text {
		if perm&(4>>i) == 0 {
			text[i] = '-'
		}
	}
	return string(text)
}
