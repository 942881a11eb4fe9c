// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"appliance.io/backup-operator/internal/report"
	"github.com/google/go-cmp/cmp"
)

func TestVolumesThatAreNotMountedTakeNothingFromTheMirror(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	b := newBench(t)
	b.mount(b.source, 4*mib)
	b.mount(b.backups, 16*mib)
	b.fill(3, 1000)
	for range b.keep {
		b.run(0)
	}
	first := b.good(b.mirror)

	b.unmount(b.source)
	for range b.keep + 2 {
		if r := b.run(3); r.Reason != report.ReasonSourceEmpty {
			t.Errorf("without the source: reported %s: %s", r.Reason, r.Message)
		}
	}
	b.holdsAll(b.mirror, first)

	b.unmount(b.backups)
	for range b.keep + 2 {
		if r := b.run(3); r.Reason != report.ReasonSourceEmpty {
			t.Errorf("without the source and the backup directory: reported %s: %s", r.Reason, r.Message)
		}
	}
	b.holdsAll(b.mirror, first)
}

// holdsAll checks that good archives are where they were.
func (b *bench) holdsAll(dir string, names []string) {
	b.t.Helper()
	there := map[string]bool{}
	for _, name := range b.good(dir) {
		there[name] = true
	}
	for _, name := range names {
		if !there[name] {
			b.t.Errorf("%s is gone from %s", name, dir)
		}
	}
}

func TestStrangersFilesAreNeverTouched(t *testing.T) {
	b := newBench(t)
	b.keep = 1
	b.fill(3, 1000)
	outside := filepath.Join(t.TempDir(), "outside")
	b.must(os.WriteFile(outside, []byte("outside"), 0o600))
	want := map[string]string{}
	for _, dir := range []string{b.backups, b.mirror} {
		b.must(os.Mkdir(dir, 0o700))
		for _, name := range []string{
			"notes.txt", "app-19990101T000000Z.tar.zst", "app-19990102T000000Z.tar.zst.sha256", "app.tar.zst",
			".app-19990101T000000Z.tar.zst.partial.swp", "app-20990101T000000Z.tar.zst", ".hidden",
		} {
			want[filepath.Join(dir, name)] = "a stranger's " + name
			b.must(os.WriteFile(filepath.Join(dir, name), []byte("a stranger's "+name), 0o600))
		}
		link := filepath.Join(dir, "app-19980101T000000Z.tar.zst")
		b.must(os.Symlink(outside, link))
		want[link] = "outside"
	}
	b.run(0)
	b.run(0)
	b.run(0)
	got := map[string]string{}
	for path := range want {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		got[path] = string(content)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTwoPoliciesShareADirectory(t *testing.T) {
	first := newBench(t)
	first.keep = 1
	first.fill(3, 1000)
	second := *first
	second.policy, second.prefix, second.keep = "orbit/second", "app-2", 2 // One prefix begins with the other.

	for range 3 {
		first.run(0)
		second.run(0)
	}
	for _, dir := range []string{first.backups, first.mirror} {
		// The names of the first one's archives begin with app-2 as well, for the year 20….
		all := len(first.good(dir))
		if of2 := len(second.good(dir)); of2 != 2 || all-of2 != 1 {
			t.Errorf("%s holds %d of the second policy and %d of the first", dir, of2, all-of2)
		}
	}

	second.prefix = "app"
	if r := second.run(report.ExitInvalid); r.Reason != report.ReasonDirectoryOwned || r.Archive != nil {
		t.Errorf("the second policy with the first one's prefix: %s: %s", r.Reason, r.Message)
	}
}

func TestRunsAtTheSameTimeWaitForEachOther(t *testing.T) {
	b := newBench(t)
	b.fill(20, 32<<10)
	commands := []*exec.Cmd{b.command(), b.command(), b.command()}
	for _, c := range commands {
		b.must(c.Start())
	}
	for _, c := range commands {
		b.must(c.Wait())
	}
	for _, dir := range []string{b.backups, b.mirror} {
		if got := len(b.good(dir)); got != len(commands) {
			t.Errorf("%s holds %d backups, want %d", dir, got, len(commands))
		}
		if left := b.leftovers(dir); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	}
}

func TestADamagedArchiveIsLeftAloneAndCountsForNothing(t *testing.T) {
	b := newBench(t)
	b.fill(3, 1000)
	b.run(0)
	name := b.good(b.backups)[0]
	content, err := os.ReadFile(filepath.Join(b.backups, name))
	b.must(err)
	damaged := filepath.Join(b.backups, "app-20300101T000000Z.tar.zst")
	b.must(os.WriteFile(damaged, content[:len(content)/2], 0o600))
	for range 5 {
		if r := b.run(0); r.Backups.Count > b.keep {
			t.Errorf("%d backups are counted", r.Backups.Count)
		}
	}
	if now, err := os.ReadFile(damaged); err != nil || len(now) != len(content)/2 {
		t.Errorf("the damaged archive: %d bytes, %v", len(now), err)
	}
	if _, err := os.Stat(filepath.Join(b.mirror, filepath.Base(damaged))); err == nil {
		t.Error("the damaged archive was sent to the mirror")
	}
}
