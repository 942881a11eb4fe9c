// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
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

	"appliance.io/backup-operator/internal/archive"
)

func TestMemoryThatSomebodyHasChosenStays(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(64 << 20))
	t.Setenv("GOMEMLIMIT", "64MiB")
	log := slog.New(slog.DiscardHandler)
	if got := useMemory(log); got != 64<<20 || debug.SetMemoryLimit(-1) != 64<<20 {
		t.Errorf("%d bytes, and the runtime's limit is %d", got, debug.SetMemoryLimit(-1))
	}
	if n := writersThatFit(log, 19); n != 1 {
		t.Errorf("%d workers of level 19 in 64 MiB", n)
	}
	debug.SetMemoryLimit(48 << 20)
	if n := readersThatFit(log); n != 1 {
		t.Errorf("%d workers that read in 48 MiB", n)
	}
	debug.SetMemoryLimit(math.MaxInt64)
	if n := writersThatFit(log, 19); n != runtime.GOMAXPROCS(0) {
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
	cmd := group.command("backup-operator", "backup", "--policy=orbit/appliance", "--level=19",
		"--source=data="+filepath.Join(work, "data"),
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

// TestHotFilesStayCached lets files that are in use, a backup of ten times as much, and its verification share the memory
// of a cgroup that has no room for both. What cat does in place of the backup shows what would become of them.
func TestHotFilesStayCached(t *testing.T) {
	const hotSize, limit = 32 << 20, 192 << 20
	work := diskDir(t)
	hot := filepath.Join(work, "hot")
	writeRandom(t, hot, hotSize)
	for i := range 10 {
		writeRandom(t, filepath.Join(work, "data", fmt.Sprintf("recording-%d", i)), hotSize)
	}
	group := newMemoryCgroup(t, limit)
	run := func(args ...string) {
		t.Helper()
		if out, err := group.command(args...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	begin := func() {
		t.Helper()
		dropCached(t, work)
		run("sh", "-c", "cat "+hot+" >/dev/null")
		if cached := cachedBytes(t, hot); cached < hotSize*9/10 {
			t.Fatalf("only %d bytes are cached to begin with", cached)
		}
	}

	begin()
	run("sh", "-c", "cat "+filepath.Join(work, "data")+"/* >/dev/null")
	if cached := cachedBytes(t, hot); cached > hotSize/2 {
		t.Fatalf("cat leaves %d of %d bytes cached: this proves nothing", cached, hotSize)
	}

	begin()
	run("backup-operator", "backup", "--policy=orbit/appliance", "--source=data="+filepath.Join(work, "data"),
		"--directory="+filepath.Join(work, "backups"), "--prefix=app", "--keep=2")
	if cached := cachedBytes(t, hot); cached < hotSize*9/10 {
		t.Errorf("after the backup, %d of %d bytes are cached", cached, hotSize)
	}
	run("backup-operator", "verify", "--directory="+filepath.Join(work, "backups"))
	if cached := cachedBytes(t, hot); cached < hotSize*9/10 {
		t.Errorf("after the verification, %d of %d bytes are cached", cached, hotSize)
	}
}

// diskDir is an empty directory on a file system that isn't all cache.
func diskDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	if s.Type != unix.TMPFS_MAGIC {
		return dir
	}
	dir, err := os.MkdirTemp("/var/tmp", "backup-operator-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// writeRandom writes a file to disk that can't be compressed.
func writeRandom(t *testing.T, file string, size int) {
	t.Helper()
	content := make([]byte, size)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, content)
}

// dropCached drops all files below a directory from the page cache.
func dropCached(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		archive.DropCached(f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// cachedBytes is how much of a file is in the page cache.
func cachedBytes(t *testing.T, file string) int64 {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var stat unix.Cachestat_t
	if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &stat, 0); err != nil {
		t.Fatal(err)
	}
	return int64(stat.Cache) * int64(os.Getpagesize())
}

// writeText writes a file of a size that is worth compressing.
func writeText(t *testing.T, file string, size int) {
	t.Helper()
	random := make([]byte, size/2)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, fmt.Appendf(nil, "%x", random))
}

// writeFile writes a file to disk.
func writeFile(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
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

// command is a command that runs in the cgroup.
func (g memoryCgroup) command(args ...string) *exec.Cmd {
	enter := []string{"-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(g.dir, "cgroup.procs")}
	return exec.Command("/bin/sh", append(enter, args...)...)
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
