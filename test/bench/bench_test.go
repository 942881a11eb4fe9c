// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"appliance.io/backup-operator/test/benchmark"
)

// commandVariable makes the test's binary be the benchmark's command.
const commandVariable = "BACKUP_OPERATOR_BENCH_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(commandVariable) != "" {
		main()
		return
	}
	os.Exit(runTests(m))
}

// program is the backup-operator that the tests measure, built once.
var program string

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "bench-test-")
	if err == nil {
		defer os.RemoveAll(dir)
		program, err = benchmark.BuildProgram(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// benchCommand is the command with its arguments.
func benchCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], append(args, "-program", program)...)
	cmd.Env = append(os.Environ(), commandVariable+"=1")
	return cmd
}

// TestBenchmark measures everything, once, on a data set of two megabytes: in a directory where nothing can be mounted.
func TestBenchmark(t *testing.T) {
	filesystems := []string{"xfs", "btrfs", "ext4"}
	if _, err := os.Stat("/dev/loop-control"); err != nil || os.Geteuid() != 0 {
		filesystems = []string{plain}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "samples.json")
	cmd := benchCommand(t, "-size", "0.0005", "-runs", "1", "-days", "2", "-margin", "200ms", "-dir", dir, "-json", file,
		"-filesystems", strings.Join(filesystems, ","))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	t.Logf("%s", out)
	checkRecords(t, file, filesystems)
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, "–") && !strings.Contains(line, "rsync -a") && !strings.HasSuffix(line, "not measured |") {
			t.Errorf("something is missing in %s", line)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, scratchPrefix+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// checkRecords checks that every step that was to be measured was.
func checkRecords(t *testing.T, file string, filesystems []string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var written struct{ Records []record }
	if err := json.Unmarshal(content, &written); err != nil {
		t.Fatal(err)
	}
	p := plan{filesystems: filesystems}
	for _, fs := range filesystems {
		for _, c := range p.candidates(fs, 0) {
			for _, s := range []step{first, unchanged, changed, space, sent, restore, one, verify} {
				want := map[step]int{changed: 1}[s]
				if want == 0 {
					want = 1
				}
				if !p.measures(fs, c, s) || c == "rsync" && s == verify {
					want = 0
				}
				if got := count(written.Records, fs, c, s); got != want {
					t.Errorf("%s/%s/%s was measured %d times, want %d", fs, c, s, got, want)
				}
			}
		}
	}
}

// count counts what was measured and is not nothing.
func count(records []record, filesystem, candidate string, s step) int {
	n := 0
	for _, r := range records {
		if r.Filesystem != filesystem || r.Candidate != candidate || r.Step != s {
			continue
		}
		for _, sample := range r.Samples {
			if sample.Seconds >= sample.ReturnedSeconds && sample.ReturnedSeconds > 0 && sample.PeakBytes > 0 {
				n++
			}
		}
		for _, transfer := range r.Transfers {
			if transfer.ArchiveBytes > 0 && transfer.SentBytes > 0 {
				n++
			}
		}
		if slices.Min(append(r.SpaceBytes, 1)) > 0 {
			n += len(r.SpaceBytes)
		}
	}
	return n
}

func TestManyFiles(t *testing.T) {
	out, err := benchCommand(t, "-files", "2500", "-margin", "200ms", "-filesystems", plain, "-dir", t.TempDir()).Output()
	if err != nil {
		t.Fatal(err)
	}
	if rows := strings.Count(string(out), "\n| "); rows != 3 {
		t.Errorf("want a head and two rows in\n%s", out)
	}
}

func TestWrongFlags(t *testing.T) {
	for flags, want := range map[string]string{
		"-filesystems zfs":  `there is no "zfs"`,
		"-only xfs/nobody/": "nothing is called so",
		"-only (":           "missing closing",
		"-size 0":           "must be positive",
		"-runs 0":           "must be positive",
		"more":              "no other arguments",
	} {
		_, err := parseOptions(strings.Fields(flags), &strings.Builder{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", flags, err, want)
		}
	}
}
