// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// insideVariable tells this program that it is in a namespace already.
const insideVariable = "FAULTS_INSIDE"

// inNamespace runs the rest of a test in a mount namespace of its own, where it may mount file systems that vanish with
// it. It needs no root: others get a user namespace as well. It reports whether the caller is inside.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVariable) == t.Name() {
		// Nothing of what is mounted from here on shall be seen outside.
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.v", "-test.parallel=8", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), insideVariable+"="+t.Name(), "FAULTS_PROGRAM="+program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	t.Logf("in a mount namespace:\n%s", out)
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("in a mount namespace: %v", err)
	}
	return false
}

// mount mounts an empty file system in memory, of a size in bytes.
func (b *bench) mount(dir string, size int64) {
	b.t.Helper()
	b.must(os.MkdirAll(dir, 0o700))
	b.must(unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)))
	b.t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

func (b *bench) unmount(dir string) {
	b.t.Helper()
	b.must(unix.Unmount(dir, 0))
}
