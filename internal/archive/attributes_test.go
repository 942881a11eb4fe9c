// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// acl is the kernel's form of an ACL with entries of tag, permissions and id.
func acl(entries ...[3]uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

func TestFormatACL(t *testing.T) {
	const none = 1<<32 - 1
	good := acl([3]uint32{1, 7, none}, [3]uint32{2, 5, 1000}, [3]uint32{4, 0, none}, [3]uint32{8, 4, 3_000_000_000}, [3]uint32{0x10, 6, none}, [3]uint32{0x20, 1, none})
	want := "user::rwx\nuser:1000:r-x\ngroup::---\ngroup:3000000000:r--\nmask::rw-\nother::--x\n"
	if got, err := formatACL(good); got != want || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "cut": good[:len(good)-1], "version": append([]byte{3}, good[1:]...),
		"tag": acl([3]uint32{3, 7, 0}), "permissions": acl([3]uint32{1, 8, 0}),
	} {
		if got, err := formatACL(bad); err == nil {
			t.Errorf("%s: got %q and no error", name, got)
		}
	}
}

// fakeXattrs is a file whose attributes are these.
func fakeXattrs(names string, get func(name string) (string, error)) xattrReader {
	give := func(dst []byte, s string) (int, error) {
		if len(s) > len(dst) {
			return 0, unix.ERANGE
		}
		return copy(dst, s), nil
	}
	return xattrReader{
		list: func(dst []byte) (int, error) { return give(dst, names) },
		get: func(name string, dst []byte) (int, error) {
			s, err := get(name)
			if err != nil {
				return 0, err
			}
			return give(dst, s)
		},
	}
}

func TestXattrTroubleIsTold(t *testing.T) {
	long := strings.Repeat("v", 64<<10)
	r := fakeXattrs("user.a\x00user.gone\x00user.broken\x00user.long\x00system.posix_acl_access\x00", func(name string) (string, error) {
		switch name {
		case "user.gone":
			return "", unix.ENODATA
		case "user.broken":
			return "", unix.EIO
		case "user.long":
			return long, nil
		}
		return "1", nil
	})
	got, err := r.records()
	want := []record{{"SCHILY.xattr.user.a", "1"}, {"SCHILY.xattr.user.long", long}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(record{})); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "user.broken") ||
		!strings.Contains(err.Error(), accessACL) || strings.Contains(err.Error(), "gone") {
		t.Errorf("error %v", err)
	}
}

// An NFSv4 ACL can't be restored anywhere but on NFS, and may not be readable at all. Neither makes a backup incomplete.
func TestAttributesOfTheFileSystemAreNotArchived(t *testing.T) {
	names := "system.nfs4_acl\x00system.nfs4_dacl\x00system.ntfs_attrib\x00system.posix_acl_access\x00security.selinux\x00trusted.x\x00user.x\x00"
	r := fakeXattrs(names, func(name string) (string, error) {
		switch name {
		case accessACL:
			return string(acl([3]uint32{1, 7, 0}, [3]uint32{4, 0, 0}, [3]uint32{0x20, 1, 0})), nil
		case "security.selinux", "trusted.x", "user.x":
			return "1", nil
		}
		return "", unix.EIO
	})
	got, err := r.records()
	want := []record{
		{"SCHILY.acl.access", "user::rwx\ngroup::---\nother::--x\n"},
		{"SCHILY.xattr.security.selinux", "1"}, {"SCHILY.xattr.trusted.x", "1"}, {"SCHILY.xattr.user.x", "1"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(record{})); diff != "" || err != nil {
		t.Errorf("records (-want +got):\n%s\nerror %v", diff, err)
	}
}

func TestFileSystemsWithoutXattrs(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOTSUP, unix.ENOSYS} {
		r := xattrReader{list: func([]byte) (int, error) { return 0, errno }}
		if got, err := r.records(); got != nil || err != nil {
			t.Errorf("%v: got %v, %v", errno, got, err)
		}
	}
}

func TestGNUTarRestoresOddXattrs(t *testing.T) {
	attrs := map[string]string{"user.a=b%c": "odd name", "user.%3D": "odder"}
	if isRoot {
		attrs["trusted.x"] = "root's"
		// cap_net_bind_service=ep, as setcap(8) writes it.
		attrs["security.capability"] = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	}
	root := built(t, treetest.Dir{Entries: treetest.Entries{"f": treetest.File{Content: "x", Meta: treetest.Meta{Xattrs: attrs}}}})
	w := write(t, Options{}, Source{Name: "data", Path: root})
	target := t.TempDir()
	run(t, "tar", "--zstd", "--xattrs", "--xattrs-include=*", "-xpf", w.path, "-C", target)
	treetest.AssertEqual(t, root, filepath.Join(target, "data"))
}

func TestExtentsAreBounded(t *testing.T) {
	const pieces = maxExtents + 1000
	dir := t.TempDir()
	data := map[int64]string{}
	for i := range int64(pieces) {
		// Every tenth hole is long; the others are given up.
		data[i*8192+i/10*65536] = "x"
	}
	size := int64(pieces*8192 + pieces/10*65536)
	treetest.Build(t, dir, treetest.Dir{Entries: treetest.Entries{"f": treetest.Sparse{Size: size, Data: data}}})
	fd, err := unix.Open(filepath.Join(dir, "f"), unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	list, err := extents(fd, size)
	if err != nil || len(list) < pieces/10-1 || len(list) > maxExtents {
		t.Fatalf("%d extents, error %v", len(list), err)
	}
	for offset := range data {
		if !covered(list, offset) {
			t.Fatalf("data at %d is in no extent", offset)
		}
	}
}

func covered(list []extent, offset int64) bool {
	for _, e := range list {
		if offset >= e.offset && offset < e.offset+e.length {
			return true
		}
	}
	return false
}
