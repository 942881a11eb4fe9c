// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package rsync

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

func TestArguments(t *testing.T) {
	common := []string{
		"--files-from=-", "--from0", "--times", "--no-owner", "--no-group", "--no-perms", "--omit-dir-times",
		"--stats", "--info=progress2", "--no-human-readable", "--outbuf=Line", "--whole-file",
	}
	for _, test := range []struct {
		name    string
		options Options
		want    []string
	}{
		{"plain", Options{Source: "/a", Destination: "/b/c"}, []string{"--", "/a/", "/b/c/"}},
		{"all", Options{Source: "/a/", Destination: "/b", Temporary: "/b/.t", Flush: true, Timeout: 90 * time.Second},
			[]string{"--temp-dir=/b/.t", "--fsync", "--timeout=90", "--", "/a/", "/b/"}},
		{"again", Options{Source: "/a", Destination: "/b", IgnoreTimes: true}, []string{"--ignore-times", "--", "/a/", "/b/"}},
		{"dashes and colons are no options and no hosts", Options{Source: "/-a:b", Destination: "/c::d"}, []string{"--", "/-a:b/", "/c::d/"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.options.Arguments()
			if diff := cmp.Diff(append(common[:len(common):len(common)], test.want...), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			for _, arg := range got {
				if strings.HasPrefix(arg, "--del") || strings.HasPrefix(arg, "--remove") {
					t.Errorf("%s", arg)
				}
			}
		})
	}
}

func TestWhatRsyncWouldMisunderstandIsRefused(t *testing.T) {
	for _, o := range []Options{
		{Source: "host:a", Destination: "/b"},
		{Source: "/a", Destination: "b"},
		{Source: "/a", Destination: "/b", Files: []string{"../x"}},
		{Source: "/a", Destination: "/b", Files: []string{"x\x00y"}},
		{Source: "/a", Destination: "/b", Files: []string{".."}},
		{Source: "/a", Destination: "/b", Files: []string{""}},
	} {
		if _, err := (Command{Path: "/bin/false"}).Run(t.Context(), o, Hooks{}); err == nil || !strings.HasPrefix(err.Error(), "rsync: ") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestParse(t *testing.T) {
	const output = "\r          32768   0%    0.00kB/s    0:00:00  \r       30,000,000 100%   73.85MB/s    0:00:00 (xfr#1, to-chk=0/1)\n\n" +
		"Number of files: 2 (reg: 2)\nNumber of regular files transferred: 1,002\n" +
		"Total file size: 60000000 bytes\nTotal transferred file size: 30,000,000 bytes\n" +
		"Literal data: 1000 bytes\nMatched data: 29999000 bytes\nTotal bytes sent: 30007396\nTotal bytes received: 35\n"
	var r Result
	var steps []Progress
	lines := bufio.NewScanner(strings.NewReader(output))
	lines.Split(splitLines)
	for lines.Scan() {
		if p, ok := r.parse(lines.Text()); ok {
			steps = append(steps, p)
		}
	}
	if diff := cmp.Diff(Result{BytesSent: 30000000, BytesMatched: 29999000, BytesCrossed: 30007431, FilesTransferred: 1002}, r); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]Progress{{32768, 0}, {30000000, 100}}, steps); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCanFlush(t *testing.T) {
	for version, want := range map[string]bool{
		"rsync  version 3.5.0  protocol version 32\n": true, "rsync  version v3.2.4  protocol": true, "rsync  version 4.0.0 ": true,
		"rsync  version 3.2.3  protocol version 31\n": false, "rsync  version 3.1.99 ": false, "rsync  version 2.6.9  ": false,
		"openrsync: protocol version 29\n": false, "": false,
	} {
		if got := canFlush(version); got != want {
			t.Errorf("%q: %t", version, got)
		}
	}
}

func TestTailKeepsTheLastLines(t *testing.T) {
	var out tail
	for range 10000 {
		_, _ = out.Write([]byte("noise\n"))
	}
	_, _ = out.Write([]byte("a\nb\n\xff\nrsync error: the end\n"))
	if got := out.String(); got != "a; b; ?; rsync error: the end" {
		t.Errorf("%q", got)
	}
	if len(out.text) > 2*tailBytes {
		t.Errorf("it holds %d bytes", len(out.text))
	}
}

func TestErrorsAreSentences(t *testing.T) {
	for code := -1; code < 256; code++ {
		if text := (&Error{Code: code, Output: "said rsync"}).Error(); !strings.Contains(text, "said rsync") || len(text) < 30 {
			t.Errorf("%d: %s", code, text)
		}
	}
	if !(&Error{Code: 11, Output: "write failed on \"/m/x\": No space left on device (28)"}).NoSpace() {
		t.Error("a full disk isn't recognized")
	}
}

// installed is the rsync that is installed.
func installed(t *testing.T) Command {
	t.Helper()
	command, err := Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return command
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyWhatIsNamedIsBroughtAndNothingIsRemoved(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	receiving := filepath.Join(to, ".receiving")
	if err := os.Mkdir(receiving, 0o700); err != nil {
		t.Fatal(err)
	}
	odd := "-a b\n*.x:y"
	put(t, filepath.Join(from, odd), "12345")
	put(t, filepath.Join(from, "there"), "1")
	put(t, filepath.Join(from, "not named"), "1")
	put(t, filepath.Join(to, "only there"), "1")
	if err := os.Symlink("not named", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	options := Options{Source: from, Destination: to, Files: []string{odd, "there", "link"}, Temporary: receiving, Flush: true}
	result, err := installed(t).Run(t.Context(), options, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	ignore := cmpopts.IgnoreFields(Result{}, "BytesCrossed")
	if diff := cmp.Diff(Result{BytesSent: 6, FilesTransferred: 2}, result, ignore); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	entries, err := os.ReadDir(to)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{odd, ".receiving", "only there", "there"}, names); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if again, err := installed(t).Run(t.Context(), options, Hooks{}); err != nil || again.BytesSent != 0 || again.FilesTransferred != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
}

func TestAFileThatIsNotThereFailsTheTransfer(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	put(t, filepath.Join(from, "there"), "1")
	_, err := installed(t).Run(t.Context(), Options{Source: from, Destination: to, Files: []string{"there", "missing"}}, Hooks{})
	var failed *Error
	if !errors.As(err, &failed) || failed.Code != 23 || !strings.Contains(failed.Output, "missing") {
		t.Fatalf("Run = %v", err)
	}
	if _, err := os.Stat(filepath.Join(to, "there")); err != nil {
		t.Errorf("the other file wasn't brought: %v", err)
	}
}

func TestFindWithoutRsync(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Find(t.Context()); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("Find = %v", err)
	}
}

// script is a stand-in for rsync that does what a real one can't be made to do at will.
func script(t *testing.T, body string) Command {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rsync")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
	return Command{Path: path}
}

func TestAStoppedTransferStopsItsWholeGroup(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	// A child of the script holds standard output open: Run only returns when that one has ended too.
	command := script(t, "sleep 1000 &\necho '  1 1% '\nwait\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	_, err := command.Run(ctx, Options{Source: filepath.Dir(pipe), Destination: "/"}, Hooks{
		Progress: func(Progress) { cancel(cause) }, // So the child is running.
	})
	if !errors.Is(err, cause) {
		t.Errorf("Run = %v", err)
	}
}

func TestATransferInWhichNothingMovesIsStopped(t *testing.T) {
	command := script(t, "echo '  1 1% '; exec sleep 1000\n")
	command.grace = 50 * time.Millisecond
	moved := false
	_, err := command.Run(t.Context(), Options{Source: "/", Destination: "/", Timeout: 100 * time.Millisecond}, Hooks{
		Progress: func(Progress) { moved = true },
	})
	if !errors.Is(err, ErrStalled) || errors.Is(err, ErrStuck) || !strings.Contains(err.Error(), "the limit is 100ms") || !moved {
		t.Errorf("Run = %v, moved: %t", err, moved)
	}
	if !errors.Is(&Error{Code: 30}, ErrStalled) || errors.Is(&Error{Code: 12}, ErrStalled) {
		t.Error("rsync's own timeout isn't known by its status")
	}
}

func TestATransferThatMovesIsNotStopped(t *testing.T) {
	// All of it takes longer than the timeout, none of its steps does.
	command := script(t, "for i in 1 2 3 4 5 6; do echo \"  $i 1% \"; sleep 0.3; done\n")
	command.grace = 50 * time.Millisecond
	if _, err := command.Run(t.Context(), Options{Source: "/", Destination: "/", Timeout: 1500 * time.Millisecond}, Hooks{}); err != nil {
		t.Errorf("Run = %v", err)
	}
}

// TestAProcessThatCannotBeKilledIsNotWaitedFor has a process that the signals to the group don't reach, as they don't
// reach one that waits in the kernel, and that holds all that it has inherited.
func TestAProcessThatCannotBeKilledIsNotWaitedFor(t *testing.T) {
	for name, output := range map[string]string{
		"it holds the output":     "",
		"it holds standard error": ">/dev/null",
		"it holds no output":      ">/dev/null 2>&1",
	} {
		t.Run(name, func(t *testing.T) {
			pipe := filepath.Join(t.TempDir(), "pipe")
			if err := unix.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			// It ends when the pipe's writing end is closed, here at the end of the test.
			command := script(t, "setsid cat '"+pipe+"' "+output+" &\necho '  1 1% '; wait\n")
			command.grace = 50 * time.Millisecond
			hold, err := os.OpenFile(pipe, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer hold.Close()
			_, err = command.Run(t.Context(), Options{Source: "/", Destination: "/", Timeout: 500 * time.Millisecond}, Hooks{})
			if !errors.Is(err, ErrStalled) || !errors.Is(err, ErrStuck) {
				t.Errorf("Run = %v", err)
			}
		})
	}
}

func TestATransferEndsWithItsLastProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "written late")
	// The second process outlives the first one and has nothing to do with its output.
	command := script(t, "(sleep 0.2; echo late > '"+file+"') </dev/null >/dev/null 2>&1 &\n")
	if _, err := command.Run(t.Context(), Options{Source: "/", Destination: "/"}, Hooks{}); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "late\n" {
		t.Errorf("when Run returned the file held %q, %v", content, err)
	}
}

func TestTheEnvironmentDoesNotChangeWhatRsyncDoes(t *testing.T) {
	t.Setenv("RSYNC_RSH", "false")
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	_, err := script(t, "echo \"$RSYNC_RSH/$LC_ALL\" >&2; exit 3\n").Run(t.Context(), Options{Source: "/", Destination: "/"}, Hooks{})
	var failed *Error
	if !errors.As(err, &failed) || failed.Output != "/C" || failed.Code != 3 {
		t.Errorf("Run = %v", err)
	}
}

func TestAnInheritedFileStaysOpenInTheTransfer(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, err = script(t, "readlink /proc/self/fd/3 >&2; exit 3\n").Run(t.Context(), Options{Source: "/", Destination: "/"}, Hooks{Inherit: file})
	var failed *Error
	if !errors.As(err, &failed) || failed.Output != file.Name() {
		t.Errorf("Run = %v", err)
	}
}
