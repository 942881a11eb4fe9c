// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestStockToolsFindWhatComesAfterABigFile lists a tar stream with a file of 9 GiB, which is a hole here: the tools jump
// over it, if they know how long it is.
func TestStockToolsFindWhatComesAfterABigFile(t *testing.T) {
	const size = 9 << 30
	path := filepath.Join(t.TempDir(), "big.tar")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	before := appendHeader(nil, &tarHeader{typ: typeRegular, name: "big", mode: 0o644, size: size})
	after := appendHeader(nil, &tarHeader{typ: typeRegular, name: "after", mode: 0o644, uid: 3_000_000_000, mtime: timestamp{-5, 1}})
	after = append(after, zeros[:2*blockSize]...)
	for at, b := range map[int64][]byte{0: before, int64(len(before)) + size: after} {
		if _, err := file.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
	const script = `import sys, tarfile
for m in tarfile.open(sys.argv[1]): print(m.uid, m.size, m.name)`
	for name, command := range map[string][]string{
		"GNU tar": {"tar", "-tvf", path}, "bsdtar": {"bsdtar", "-tvf", path}, "busybox": {"busybox", "tar", "-tvf", path},
		"Python": {"/usr/bin/python3", "-c", script, path},
	} {
		out, err := exec.Command(command[0], command[1:]...).Output()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !regexp.MustCompile(`\b9663676416\b.* big\n.*\b3000000000\b.* after\n$`).Match(out) {
			t.Errorf("%s lists\n%s", name, out)
		}
	}
}
