// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseMounts(t *testing.T) {
	const mountinfo = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
36 22 0:31 / /sources/da\040ta rw,relatime - nfs server:/data rw,hard
37 36 0:32 / /sources/da\040ta/in\134side rw shared:2 master:1 - overlay overlay rw,volatile
`
	got, err := parseMounts(strings.NewReader(mountinfo))
	if err != nil {
		t.Fatal(err)
	}
	want := []mounted{
		{22, "/", "/", []string{"rw"}}, {36, "/", "/sources/da ta", []string{"rw", "hard"}},
		{37, "/", `/sources/da ta/in\side`, []string{"rw", "volatile"}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(mounted{})); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for dir, want := range map[string]bool{
		"/": true, "/sources": true, "/sources/da ta": true, `/sources/da ta/in\side`: false, "/sources/da": false, "/other": false,
	} {
		if below := anyBelow(got, dir); below != want {
			t.Errorf("anyBelow(%q) = %v, want %v", dir, below, want)
		}
	}
	for _, bad := range []string{"nonsense", "22 1 254:0 / / rw - ext4 /dev/root", "x 1 254:0 / / rw - ext4 /dev/root rw"} {
		if _, err := parseMounts(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was taken for mountinfo", bad)
		}
	}
}

// With lazytime, a power failure can leave a file with its new content and its old change time.
func TestFileSystemsThatKeepTimesInMemoryAreNotTrusted(t *testing.T) {
	reflinked(t, func(t *testing.T, dir string) {
		look := func() bool {
			root := openDirectory(t, dir)
			return newVolumes(time.Now, func(int) error { return nil }).look(root.fd).keeps()
		}
		if !look() {
			t.Error("it isn't trusted as it is mounted by default")
		}
		if out, err := exec.Command("mount", "-o", "remount,lazytime", dir).CombinedOutput(); err != nil {
			t.Fatalf("remount: %v\n%s", err, out)
		}
		if look() {
			t.Error("it is trusted with lazytime")
		}
	})
}
