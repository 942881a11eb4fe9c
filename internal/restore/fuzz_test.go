// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
)

// FuzzRestore restores archives in which one entry is whatever the fuzzer says, beside a directory, a file and a link
// that leads outside. Whatever it is: nothing outside the target is written, and a restore that ends without an error
// leaves nothing under a temporary name.
func FuzzRestore(f *testing.F) {
	add := func(e forgedEntry) {
		if e.headers == nil {
			e.headers = tarHeaders(&e.Entry)
		}
		f.Add(e.Path, e.Type, e.Link, e.headers, e.data, uint16(e.continued))
	}
	for _, entries := range hostile() {
		add(entries[len(entries)-1])
	}
	add(regular("data/l/escaped", "x"))
	add(other(index.HardLink, "data/z", "data/l/secret"))
	add(other(index.HardLink, "data/z", "data/f"))
	f.Fuzz(func(t *testing.T, path string, typ byte, link string, headers, data []byte, frame uint16) {
		if typ < index.Regular || typ > index.FIFO || typ == index.Character || typ == index.Device {
			return // The index can't say the former, and the latter are of no use to a fuzzer.
		}
		e := other(typ, path, link)
		e.headers, e.continued = headers, int(frame)&^511
		if typ == index.Regular {
			e.data, e.Mode = data, 0o644
			e.Size, e.Data, e.SHA256 = int64(len(data)), int64(len(data)), sha256.Sum256(data)
		}
		outside := t.TempDir()
		target, secret := filepath.Join(outside, "a", "b"), filepath.Join(outside, "secret")
		if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		root, inside := directoryEntry("data"), regular("data/f", "f")
		file := newForgery().add(t, root, directoryEntry("data/d"), inside, other(index.Symlink, "data/l", outside), e).finish(t)
		got, err := restoreInto(t, openForged(t, file), Options{Targets: map[string]string{"data": target}, Concurrency: 2})
		assertUntouched(t, outside, secret)
		if left, _ := filepath.Glob(target + "/*/" + temporaryPrefix + "*"); len(left) > 0 {
			t.Errorf("%q is left of %+v, %v", left, got.Result, err)
		}
		if left, _ := filepath.Glob(target + "/" + temporaryPrefix + "*"); len(left) > 0 {
			t.Errorf("%q is left of %+v, %v", left, got.Result, err)
		}
	})
}
