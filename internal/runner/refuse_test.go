// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
	"golang.org/x/sys/unix"
)

func TestValidateNamesTheFlagAndTheFix(t *testing.T) {
	for _, test := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Policy = "appliance" }, "--policy"},
		{func(c *Config) { c.Policy = "" }, "--policy"},
		{func(c *Config) { c.Sources = nil }, "--source: give at least one"},
		{func(c *Config) { c.Sources[0].Name = "a/b" }, "--source a/b="},
		{func(c *Config) { c.Sources[1].Name = "data" }, "another source named \"data\""},
		{func(c *Config) { c.Sources[0].Path = "relative" }, "absolute"},
		{func(c *Config) { c.Directory = "" }, "--directory: give a directory"},
		{func(c *Config) { c.Directory = "relative" }, "--directory \"relative\": give an absolute path"},
		{func(c *Config) { c.Directory = "/a/../b" }, "give the path as \"/b\""},
		{func(c *Config) { c.Prefix = "a/b" }, "--prefix"},
		{func(c *Config) { c.Prefix = "" }, "--prefix"},
		{func(c *Config) { c.Keep = 0 }, "--keep 0"},
		{func(c *Config) { c.RsyncDirectory = "host:dir" }, "--rsync-directory"},
		{func(c *Config) { c.LockTimeout = -1 }, "--lock-timeout"},
		{func(c *Config) { c.AnswerTimeout = -1 }, "--answer-timeout"},
		{func(c *Config) { c.SyncTimeout = -1 }, "--sync-timeout"},
		{func(c *Config) { c.ProgressInterval = -1 }, "--progress-interval"},
		{func(c *Config) { c.Level = 20 }, "--level 20"},
		{func(c *Config) { c.VerifyRuns = -1 }, "--verify-runs -1"},
		{func(c *Config) { c.VerifyRuns = 256 }, "--verify-runs 256"},
	} {
		b := newBench(t)
		test.change(&b.config)
		r := b.want(report.Failed, report.ReasonInvalidSettings, report.ExitInvalid)
		if !strings.Contains(r.Message, test.want) {
			t.Errorf("%q doesn't say %q", r.Message, test.want)
		}
	}
	if err := newBench(t).config.Validate(); err != nil {
		t.Error(err)
	}
}

func TestAllMistakesAreToldAtOnce(t *testing.T) {
	err := Config{}.Validate()
	for _, flag := range []string{"--policy", "--source", "--directory", "--prefix", "--keep"} {
		if err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%v doesn't speak of %s", err, flag)
		}
	}
}

func TestDirectoriesMustBeApart(t *testing.T) {
	b := newBench(t)
	root := filepath.Dir(b.config.Directory)
	link := filepath.Join(root, "link")
	if err := os.Symlink(b.config.Sources[0].Path, link); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"directory in a source":               func(c *Config) { c.Directory = c.Sources[0].Path + "/new/backups" },
		"source in the directory":             func(c *Config) { c.Directory = root },
		"one and the same":                    func(c *Config) { c.Directory = c.Sources[0].Path },
		"directory in a source by a link":     func(c *Config) { c.Directory = link + "/backups" },
		"mirror in the directory":             func(c *Config) { c.RsyncDirectory = c.Directory + "/mirror" },
		"directory in the mirror":             func(c *Config) { c.Directory = c.RsyncDirectory + "/backups" },
		"mirror is the directory":             func(c *Config) { c.RsyncDirectory = c.Directory },
		"mirror in a source":                  func(c *Config) { c.RsyncDirectory = c.Sources[1].Path + "/mirror" },
		"everything in the root of all files": func(c *Config) { c.Sources[0].Path = "/" },
	} {
		t.Run(name, func(t *testing.T) {
			b := &bench{t: t, config: b.config, now: b.now}
			b.config.Sources = slices.Clone(b.config.Sources)
			change(&b.config)
			r := b.want(report.Failed, report.ReasonInvalidSettings, report.ExitInvalid)
			if !strings.Contains(r.Message, "apart") {
				t.Errorf("it says %q", r.Message)
			}
			if _, err := os.Stat(b.config.Directory); err == nil && filepath.Base(b.config.Directory) == "backups" {
				t.Errorf("%s was made", b.config.Directory)
			}
		})
	}
	b.config.Directory = b.config.Sources[0].Path + "-2" // Not inside, though the name begins alike.
	b.succeed()
}

func TestMissingSources(t *testing.T) {
	b := newBench(t)
	b.config.Sources[1].Path += ".missing"
	r := b.want(report.Failed, report.ReasonSourceMissing, report.ExitInvalid)
	if !strings.Contains(r.Message, "logs.missing") || r.Archive != nil {
		t.Errorf("reported %q, %+v", r.Message, r.Archive)
	}
	b.config.Sources[1].Path = filepath.Join(b.config.Sources[0].Path, "file")
	b.want(report.Failed, report.ReasonSourceMissing, report.ExitInvalid)
}

func TestOnlyASourceThatIsNotThereIsBeyondRetry(t *testing.T) {
	for _, test := range []struct {
		err       error
		permanent bool
	}{
		{unix.ENOENT, true}, {unix.ENOTDIR, true},
		{unix.EIO, false}, {unix.ESTALE, false}, {unix.ETIMEDOUT, false}, {unix.EHOSTDOWN, false}, {unix.EACCES, false},
	} {
		err := &fs.PathError{Op: "lstat", Path: "/sources/data", Err: test.err}
		for name, f := range map[string]*fault{
			"when it is checked":  sourceFault(fmt.Errorf("--source: %w", err)),
			"when it is archived": asFault(t.Context(), fmt.Errorf("%w %q: %w", archive.ErrInvalidSource, "data", err), ""),
		} {
			if f.permanent != test.permanent || f.reason != report.ReasonSourceMissing {
				t.Errorf("%s: %v: %s, permanent: %t", name, test.err, f.reason, f.permanent)
			}
		}
	}
	if f := asFault(t.Context(), fmt.Errorf("%w %q: the name is given twice", archive.ErrInvalidSource, "data"), ""); !f.permanent {
		t.Error("a name that is given twice may pass")
	}
}

func TestMalformedExclude(t *testing.T) {
	b := newBench(t)
	b.config.Sources[0].Exclude = []string{"[a"}
	r := b.want(report.Failed, report.ReasonInvalidSettings, report.ExitInvalid)
	if !strings.Contains(r.Message, "[a") {
		t.Errorf("it says %q", r.Message)
	}
}

func TestASecondPolicyIsRefusedHereAndInTheMirror(t *testing.T) {
	b := newBench(t)
	b.succeed()
	b.config.Policy = "other/policy"
	for _, change := range []func(){
		func() {},
		func() { b.config.Directory += "-2" }, // Only the mirror is the first one's now.
	} {
		change()
		r := b.want(report.Failed, report.ReasonDirectoryOwned, report.ExitInvalid)
		if !strings.Contains(r.Message, "orbit/appliance") || r.Archive != nil {
			t.Errorf("reported %q, %+v", r.Message, r.Archive)
		}
	}
	b.config.Directory = strings.TrimSuffix(b.config.Directory, "-2")
	b.config.Prefix = "app-2"
	b.succeed()
}

func TestALockedDirectory(t *testing.T) {
	b := newBench(t)
	if err := os.Mkdir(b.config.Directory, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := catalog.AcquireLock(t.Context(), b.config.Directory, "app", catalog.LockRequest{Holder: "the other run"})
	if err != nil {
		t.Fatal(err)
	}
	b.config.LockTimeout = 20 * time.Millisecond
	r := b.want(report.Failed, report.ReasonLocked, report.ExitFailed)
	if !strings.Contains(r.Message, "the other run") {
		t.Errorf("it says %q", r.Message)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	b.succeed()
}

func TestALockedMirror(t *testing.T) {
	b := newBench(t)
	b.succeed()
	lock, err := catalog.AcquireLock(context.Background(), b.config.RsyncDirectory, "app", catalog.LockRequest{Holder: "the other run"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Release() }()
	r := b.want(report.Failed, report.ReasonSyncFailed, report.ExitFailed)
	if !strings.Contains(r.Sync.Message, "the other run") {
		t.Errorf("it says %q", r.Sync.Message)
	}
}

func TestDirectoriesThatCannotBeWritten(t *testing.T) {
	b := newBench(t)
	b.put(b.config.Directory, "a file")
	r := b.want(report.Failed, report.ReasonDirectoryNotWritable, report.ExitInvalid)
	if !strings.Contains(r.Message, "--directory "+b.config.Directory) {
		t.Errorf("it says %q", r.Message)
	}
	b = newBench(t)
	b.config.Directory = "/proc/backups"
	b.want(report.Failed, report.ReasonDirectoryNotWritable, report.ExitFailed)
}

func TestWithoutRsync(t *testing.T) {
	b := newBench(t)
	t.Setenv("PATH", t.TempDir())
	r := b.want(report.Failed, report.ReasonInvalidSettings, report.ExitInvalid)
	if !strings.Contains(r.Message, "install") {
		t.Errorf("it says %q", r.Message)
	}
	b.config.RsyncDirectory = ""
	if r := b.succeed(); r.Sync != nil {
		t.Errorf("reported a sync: %+v", r.Sync)
	}
}

func TestHumanBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 bytes", 1023: "1023 bytes", 1 << 10: "1.0 KiB (1024 bytes)", 3 << 29: "1.5 GiB (1610612736 bytes)",
		1<<63 - 1: "8.0 EiB (9223372036854775807 bytes)",
	} {
		if got := humanBytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestShortBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1 << 10: "1.0 KiB", 3 << 29: "1.5 GiB"} {
		if got := report.ShortBytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestCheckSpaceSaysHowMuch(t *testing.T) {
	err := checkSpace("--directory", "/b", catalog.Space{Free: 1 << 20}, 1<<20)
	if err == nil || !strings.Contains(err.Error(), "1.1 MiB (1179648 bytes) needed, 1.0 MiB (1048576 bytes) free") {
		t.Errorf("%v", err)
	}
	if err := checkSpace("--directory", "/b", catalog.Space{Free: 1<<20 + slack}, 1<<20); err != nil {
		t.Error(err)
	}
}
