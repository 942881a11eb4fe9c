// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMemoryThatSomebodyHasChosenStays(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(64 << 20))
	t.Setenv("GOMEMLIMIT", "64MiB")
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if got := useMemory(log); got != 64<<20 || debug.SetMemoryLimit(-1) != 64<<20 {
		t.Errorf("%d bytes, and the runtime's limit is %d", got, debug.SetMemoryLimit(-1))
	}
	if n := fitMemory(log, 19); n != 1 {
		t.Errorf("%d workers of level 19 in 64 MiB", n)
	}
	debug.SetMemoryLimit(math.MaxInt64)
	if n := fitMemory(log, 19); n != runtime.GOMAXPROCS(0) {
		t.Errorf("%d workers without a limit", n)
	}
}

// TestBackupInLittleMemory makes a backup, and synchronizes it, in a cgroup with the memory of a small container, at a
// level whose encoders would not fit into it with one for each processor.
func TestBackupInLittleMemory(t *testing.T) {
	const limit = 112 << 20
	work := t.TempDir()
	for i := range 4 {
		writeText(t, filepath.Join(work, "data", fmt.Sprintf("log-%d", i)), 3<<20)
	}
	group := newMemoryCgroup(t, limit)
	cmd := exec.Command("/bin/sh", "-c", `echo $$ >"$0" && exec backup-operator "$@"`, filepath.Join(group.dir, "cgroup.procs"),
		"backup", "--policy=orbit/appliance", "--source=data="+filepath.Join(work, "data"), "--level=19",
		"--directory="+filepath.Join(work, "backups"), "--prefix=app", "--keep=2", "--rsync-directory="+filepath.Join(work, "mirror"))
	// As on a machine of many processors.
	for _, variable := range append(os.Environ(), "GOMAXPROCS=8") {
		if !strings.HasPrefix(variable, "GOMEMLIMIT=") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, group.events(t))
	}
	if events := group.events(t); !strings.Contains(events, "oom_kill 0") {
		t.Errorf("something was killed for want of memory:\n%s", events)
	}
	archives, _ := filepath.Glob(filepath.Join(work, "mirror", "app-*.tar.zst"))
	if len(archives) != 1 {
		t.Errorf("in the mirror are %q", archives)
	}
}

// writeText writes a file of a size that is worth compressing.
func writeText(t *testing.T, file string, size int) {
	t.Helper()
	random := make([]byte, size/2)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, "%x", random), 0o600); err != nil {
		t.Fatal(err)
	}
}

// memoryCgroup is a cgroup of either version.
type memoryCgroup struct{ dir, file string }

// newMemoryCgroup makes a cgroup whose processes may have so many bytes of memory together.
func newMemoryCgroup(t *testing.T, limit int64) memoryCgroup {
	t.Helper()
	parent, file, events := "/sys/fs/cgroup", "memory.max", "memory.events"
	if _, err := os.Stat("/sys/fs/cgroup/memory/memory.limit_in_bytes"); err == nil {
		parent, file, events = "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.oom_control"
	}
	dir, err := os.MkdirTemp(parent, "backup-operator-test-")
	if err == nil {
		t.Cleanup(func() {
			// The kernel may still be busy with the last process for a moment.
			for errors.Is(unix.Rmdir(dir), unix.EBUSY) {
				runtime.Gosched()
			}
		})
		err = os.WriteFile(filepath.Join(dir, file), fmt.Append(nil, limit), 0o600)
	}
	if err != nil && os.Geteuid() != 0 {
		t.Skipf("cgroups are for root: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return memoryCgroup{dir, events}
}

// events tells what became of processes for want of memory.
func (g memoryCgroup) events(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(g.dir, g.file))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
