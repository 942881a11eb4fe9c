// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package faults does to the real program what happens to backups in the field: it is killed, told to stop, runs out
// of space, finds volumes not mounted, and shares directories with strangers. What must survive is looked at from the
// outside, with a decompressor and a checksum, not with the program's own opinion of its archives.
package faults

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/report"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// program is the binary under test.
var program string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	if program = os.Getenv("FAULTS_PROGRAM"); program != "" {
		return m.Run() // This is the inside of a namespace: the program is built already.
	}
	dir, err := os.MkdirTemp("", "faults")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "backup-operator")
	build := exec.Command("go", "build", "-o", program, "appliance.io/backup-operator")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// bench is a policy on plain directories.
type bench struct {
	t                       *testing.T
	source, backups, mirror string
	policy, prefix          string
	keep                    int
	extra                   []string // More arguments.
	reportFile              string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	root := t.TempDir()
	b := &bench{
		t: t, source: filepath.Join(root, "source"), backups: filepath.Join(root, "backups"), mirror: filepath.Join(root, "mirror"),
		policy: "orbit/appliance", prefix: "app", keep: 3, reportFile: filepath.Join(root, "report"),
	}
	b.must(os.Mkdir(b.source, 0o700))
	return b
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// fill makes files of random content, which doesn't compress.
func (b *bench) fill(files, size int) {
	b.t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, size)
	for i := range files {
		for j := range content {
			content[j] = byte(rng.Uint32())
		}
		b.must(os.WriteFile(filepath.Join(b.source, fmt.Sprintf("file-%d", i)), content, 0o600))
	}
}

// command is a run of the program.
func (b *bench) command() *exec.Cmd {
	args := []string{
		"backup", "--policy", b.policy, "--source", "data=" + b.source, "--directory", b.backups, "--prefix", b.prefix,
		"--keep", strconv.Itoa(b.keep), "--termination-log", b.reportFile, "--lock-timeout", "1m",
	}
	if b.mirror != "" {
		args = append(args, "--rsync-directory", b.mirror)
	}
	return exec.Command(program, append(args, b.extra...)...)
}

// run does a run to its end and checks the exit status.
func (b *bench) run(status int) report.Report {
	b.t.Helper()
	out, err := b.command().CombinedOutput()
	if got := exitStatus(err); got != status {
		b.t.Fatalf("exit status %d, want %d\n%s", got, status, out)
	}
	return b.report()
}

func (b *bench) report() report.Report {
	b.t.Helper()
	content, err := os.ReadFile(b.reportFile)
	b.must(err)
	r, err := report.Decode(string(content))
	b.must(err)
	return r
}

// exitStatus is -1 for a process that a signal ended.
func exitStatus(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	default:
		return 1000
	}
}

// good returns the archives under final names with the bench's prefix, sorted. A bad one fails the test.
func (b *bench) good(dir string) []string {
	b.t.Helper()
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	b.must(err)
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), b.prefix+"-2") || !strings.HasSuffix(e.Name(), ".tar.zst") {
			continue
		}
		if err := checkArchive(filepath.Join(dir, e.Name())); err != nil {
			b.t.Fatalf("a bad archive under a final name: %v", err)
		}
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names
}

// checkArchive decompresses all of an archive, which checks every frame, and holds the files in it against its sidecar.
func checkArchive(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	decoder, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer decoder.Close()
	sums, err := checksums(tar.NewReader(decoder))
	if err == nil {
		_, err = io.Copy(io.Discard, decoder) // What comes behind the end of the tar stream counts as well.
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	sidecar, err := os.ReadFile(path + ".sha256")
	if err != nil {
		return err
	}
	if diff := cmp.Diff(sums, string(sidecar)); diff != "" {
		return fmt.Errorf("%s: what is in it and what the sidecar says (-archive +sidecar)\n%s", path, diff)
	}
	return nil
}

// checksums are the regular files of a tar stream as sha256sum lists them.
func checksums(stream *tar.Reader) (string, error) {
	var lines strings.Builder
	for {
		entry, err := stream.Next()
		if errors.Is(err, io.EOF) {
			return lines.String(), nil
		}
		if err != nil {
			return "", err
		}
		if entry.Typeflag != tar.TypeReg {
			continue
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, stream); err != nil {
			return "", err
		}
		fmt.Fprintf(&lines, "%x  %s\n", sum.Sum(nil), entry.Name)
	}
}

// holdsTheSource fails the test unless an archive, which good has checked, holds the source's files as they are now.
func (b *bench) holdsTheSource(archive string) {
	b.t.Helper()
	sidecar, err := os.ReadFile(filepath.Join(b.backups, archive+".sha256"))
	b.must(err)
	entries, err := os.ReadDir(b.source)
	b.must(err)
	var want strings.Builder
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(b.source, e.Name()))
		b.must(err)
		fmt.Fprintf(&want, "%x  data/%s\n", sha256.Sum256(content), e.Name())
	}
	if diff := cmp.Diff(want.String(), string(sidecar)); diff != "" {
		b.t.Fatalf("%s does not hold what is in the source (-source +archive)\n%s", archive, diff)
	}
}

// change gives a file of the source other content, of the same or another size.
func (b *bench) change(rng *rand.Rand, files int) {
	b.t.Helper()
	content := make([]byte, fileSize+rng.IntN(3)*100)
	for i := range content {
		content[i] = byte(rng.Uint32())
	}
	b.must(os.WriteFile(filepath.Join(b.source, fmt.Sprintf("file-%d", rng.IntN(files))), content, 0o600))
}

// leftovers returns what a run that ended in good order doesn't leave: partial files, and sidecars alone.
func (b *bench) leftovers(dir string) []string {
	b.t.Helper()
	var left []string
	for _, pattern := range []string{".*.partial", "..*", ".*.write-test", ".*.partial/.*"} {
		matches, err := filepath.Glob(filepath.Join(dir, pattern))
		b.must(err)
		left = append(left, matches...)
	}
	left = slices.DeleteFunc(left, func(path string) bool {
		fi, err := os.Lstat(path)
		return err != nil || fi.IsDir()
	})
	sidecars, err := filepath.Glob(filepath.Join(dir, "*.sha256"))
	b.must(err)
	for _, s := range sidecars {
		if _, err := os.Lstat(strings.TrimSuffix(s, ".sha256")); err != nil {
			left = append(left, s)
		}
	}
	return left
}
