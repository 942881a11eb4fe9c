// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/report"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// needAndFree are the exact figures that a message of too little space must have.
var needAndFree = regexp.MustCompile(`\((\d+) bytes\) needed, .*\((\d+) bytes\) free|needed, (\d+) bytes free`)

func TestTooLittleSpaceIsRefusedBeforeWriting(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	b := newBench(t)
	b.mirror = ""
	b.mount(b.backups, 4*mib)
	b.fill(1, mib)
	b.run(0)
	before := b.good(b.backups)
	b.fill(5, mib)

	r := b.run(1)
	if r.Outcome != report.Failed || r.Reason != report.ReasonNotEnoughSpace || r.Archive != nil {
		t.Errorf("reported %s, %s, %+v", r.Outcome, r.Reason, r.Archive)
	}
	figures := needAndFree.FindStringSubmatch(r.Message)
	if figures == nil || figures[2] != fmt.Sprint(r.Storage.Free) {
		t.Errorf("the message has not what is needed and free (%d): %s", r.Storage.Free, r.Message)
	}
	if diff := cmp.Diff(before, b.good(b.backups)); diff != "" {
		t.Errorf("the backups changed (-before +after)\n%s", diff)
	}
	if left := b.leftovers(b.backups); len(left) > 0 {
		t.Errorf("left: %q", left)
	}

	b.takeAll(filepath.Join(b.backups, "somebody-else"))
	if r := b.run(1); r.Reason != report.ReasonNotEnoughSpace || needAndFree.FindString(r.Message) == "" {
		t.Errorf("with nothing free: reported %s: %s", r.Reason, r.Message)
	}
	if diff := cmp.Diff(before, b.good(b.backups)); diff != "" {
		t.Errorf("with nothing free: the backups changed (-before +after)\n%s", diff)
	}
}

func TestRunningOutOfSpaceWhileWriting(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	b := newBench(t)
	b.mirror = ""
	b.mount(b.backups, 96*mib)
	b.fill(1, mib)
	b.run(0)
	before := b.good(b.backups)
	b.fill(32, mib)

	// The program can't get further than one line of its log ahead of the reader. So when it has written the second one
	// of these, it has found enough space, and can't begin to write before that line is read.
	cmd := b.command()
	lines := stepwise(t, cmd)
	b.must(cmd.Start())
	lines.started()
	for !strings.Contains(lines.next(), `msg="measuring the sources"`) {
		continue
	}
	lines.wait()
	other := filepath.Join(b.backups, "somebody-else")
	b.takeAll(other)
	if line := lines.next(); !strings.Contains(line, `msg="measured the sources"`) {
		t.Fatalf("it didn't stop where it was meant to, but at %s", line)
	}
	lines.drain()
	if status := exitStatus(cmd.Wait()); status != 1 {
		t.Errorf("exit status %d", status)
	}
	r := b.report()
	if r.Outcome != report.Failed || r.Reason != report.ReasonNotEnoughSpace || !strings.Contains(r.Message, "ran out of space") {
		t.Errorf("reported %s, %s: %s", r.Outcome, r.Reason, r.Message)
	}
	if diff := cmp.Diff(before, b.good(b.backups)); diff != "" {
		t.Errorf("the backups changed (-before +after)\n%s", diff)
	}
	if left := b.leftovers(b.backups); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	b.must(os.Remove(other))
	b.run(0)
}

// takeAll fills the file system to the last block.
func (b *bench) takeAll(path string) {
	b.t.Helper()
	f, err := os.Create(path)
	b.must(err)
	defer f.Close()
	var st unix.Statfs_t
	b.must(unix.Statfs(b.backups, &st))
	b.must(unix.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail)*st.Bsize))
}

func TestAFullMirrorFailsTheSyncAndNothingElse(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	b := newBench(t)
	b.mount(b.mirror, 3*mib)
	b.fill(1, mib)
	b.run(0)
	b.run(0)
	before := b.good(b.mirror)
	for range 3 {
		r := b.run(1)
		if r.Reason != report.ReasonSyncFailed || r.Sync.OK || r.Archive == nil || needAndFree.FindString(r.Sync.Message) == "" {
			t.Errorf("reported %s, %+v, %+v", r.Reason, r.Archive, r.Sync)
		}
	}
	if diff := cmp.Diff(before, b.good(b.mirror)); diff != "" {
		t.Errorf("the mirror changed (-before +after)\n%s", diff)
	}
	if got := len(b.good(b.backups)); got != b.keep {
		t.Errorf("the backup directory holds %d, want %d", got, b.keep)
	}
	b.must(unix.Mount("", b.mirror, "", unix.MS_REMOUNT, "size=16m"))
	b.run(0)
	if diff := cmp.Diff(b.good(b.backups), b.good(b.mirror)); diff != "" {
		t.Errorf("with more space the mirror isn't as the backup directory (-here +mirror)\n%s", diff)
	}
}

func TestReadOnlyBackupDirectory(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	b := newBench(t)
	b.mirror = ""
	b.mount(b.backups, 4*mib)
	b.fill(1, 1000)
	b.run(0)
	before := b.good(b.backups)
	b.must(unix.Mount("", b.backups, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	r := b.run(report.ExitInvalid)
	if r.Reason != report.ReasonDirectoryNotWritable || !strings.Contains(r.Message, "read-only") {
		t.Errorf("reported %s: %s", r.Reason, r.Message)
	}
	if diff := cmp.Diff(before, b.good(b.backups)); diff != "" {
		t.Errorf("the backups changed (-before +after)\n%s", diff)
	}
}
