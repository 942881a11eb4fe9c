// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
	"golang.org/x/sys/unix"
)

// A label of SELinux, an overlay's mark or an ACL of NFSv4 that the target refuses, for whatever reason, is counted and
// doesn't make the restore incomplete. An attribute of the user does.
func TestAttributesOfAnotherSystemAreCountedOnce(t *testing.T) {
	names := []string{"security.selinux", "security.capability", "trusted.overlay.opaque", "system.nfs4_acl"}
	for _, refusal := range []error{unix.EPERM, unix.EACCES, unix.EOPNOTSUPP, unix.EINVAL, unix.ENOSPC, unix.E2BIG} {
		var warned []Warning
		r := &restorer{ledger: ledger{missing: map[string]bool{}, flawed: map[string]bool{}, warn: func(w Warning) { warned = append(warned, w) }}}
		h := handle{
			chown: func(int, int) error { return nil }, chmod: func(uint32) error { return nil },
			setXattr: func(string, []byte) error { return refusal }, delXattr: func(string) error { return nil },
		}
		header := &tarstream.Header{}
		for _, name := range names {
			header.Xattrs = append(header.Xattrs, tarstream.Xattr{Name: name, Value: []byte("x")})
		}
		for range 3 {
			if err := r.describe(h, "data/x", &index.Entry{Mode: 0o644}, header, false); err != nil {
				t.Fatal(err)
			}
		}
		if !r.ledger.result.Complete() || len(warned) > 0 {
			t.Errorf("%v: %+v, %v", refusal, r.ledger.result, warned)
		}
		for _, name := range names {
			if n := r.ledger.result.Refused[name]; n != 3 {
				t.Errorf("%v: %s is counted %d times", refusal, name, n)
			}
		}
		header.Xattrs = []tarstream.Xattr{{Name: "user.x", Value: []byte("x")}}
		if err := r.describe(h, "data/x", &index.Entry{Mode: 0o644}, header, false); err != nil || r.ledger.result.Partial != 1 {
			t.Errorf("%v: an attribute of the user: %+v, %v", refusal, r.ledger.result, err)
		}
	}
}

// An attribute of the file system that an archive of an earlier version has isn't set, though it could be.
func TestAttributesOfTheFileSystemAreNotSet(t *testing.T) {
	e := regular("data/x", "content")
	e.Mode = 0o640
	acl := "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x04\x00\x07\x00\xff\xff\xff\xff\x20\x00\x07\x00\xff\xff\xff\xff"
	e.headers = tarHeaders(&e.Entry, "SCHILY.xattr."+accessACL, acl)
	got := mustRestore(t, openForged(t, forge(t, directoryEntry("data"), e)), Options{Target: t.TempDir()})
	if got.Refused[accessACL] != 1 {
		t.Errorf("%+v", got.Result)
	}
}

func TestCountedAttributesAreBounded(t *testing.T) {
	var l ledger
	for i := range 1000 {
		l.refuse(fmt.Sprintf("security.%d", i))
	}
	if n := len(l.result.Refused); n > maxRefused+1 || l.result.Refused[OtherAttributes] != 1000-maxRefused {
		t.Errorf("%v", l.result.Refused)
	}
}

// Changing the owner takes capabilities away, so they come after it: also those of a file that stands.
func TestCapabilitiesComeBackAfterTheOwner(t *testing.T) {
	if !isRoot {
		t.Skip("takes root")
	}
	// cap_net_bind_service=ep, as setcap(8) writes it.
	const capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	b := backedUp(t, dir{Entries: entries{"ping": file{
		Content: "ping", Meta: meta{UID: 1234, GID: 5678, Mode: 0o755, Xattrs: map[string]string{"security.capability": capability}},
	}}})
	target := filepath.Join(t.TempDir(), "t")
	for range 2 {
		mustRestore(t, b.archive, Options{Targets: map[string]string{"data": target}})
		value := make([]byte, 64)
		n, err := unix.Getxattr(target+"/ping", "security.capability", value)
		if err != nil || !bytes.Equal(value[:n], []byte(capability)) {
			t.Errorf("%q, %v", value[:max(n, 0)], err)
		}
		if err := os.Chown(target+"/ping", 0, 0); err != nil {
			t.Fatal(err)
		}
	}
}
