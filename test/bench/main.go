// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command bench measures backups and restores against other tools, on the same data, in the same run.
//
//	go run ./test/bench [-size 1] [-runs 3] [-filesystems xfs,btrfs,ext4] [-only PATTERN] [-json FILE] [-dir DIRECTORY]
//	go run ./test/bench -files 1000000 [-filesystems xfs] [-dir DIRECTORY]
//
// It makes a deterministic data set like an appliance's, lets this project's program and the others back it up for a
// week in which it changes by 1 % a day, and restores it. All commands run in turn, several times over, on file systems
// made for the purpose, with a warm page cache. What is restored is compared with what was there. It prints Markdown
// tables of medians and ratios. With -files it shows instead what so many files take in memory.
//
// docs/benchmarks.md says what is measured and how. Everything is in a temporary directory, which is removed at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	err := dispatch()
	if err == nil {
		return
	}
	if !errors.Is(err, errInner) { // That one has said why.
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	os.Exit(1)
}

// dispatch finds out which of this program's parts is wanted: it runs itself again for some.
func dispatch() error {
	if len(os.Args) > 3 && os.Args[1] == measureArgument {
		return measureHere(os.Args[2], os.Args[3:])
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	o, err := parseOptions(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case !o.mounts():
		return run(ctx, o, os.Stdout)
	case !isolated():
		return isolate(ctx)
	}
	if err := enterIsolation(); err != nil {
		return err
	}
	return run(ctx, o, os.Stdout)
}

// options are what the flags say.
type options struct {
	plan
	size    float64
	rounds  int
	margin  time.Duration
	files   int
	program string
	json    string
	dir     string
}

// mounts says whether anything but a plain directory is wanted.
func (o options) mounts() bool {
	return slices.ContainsFunc(o.filesystems, func(fs string) bool { return fs != plain })
}

func parseOptions(args []string, output io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.Float64Var(&o.size, "size", 1, "size of the data set; 1 is 3 GiB")
	flags.IntVar(&o.rounds, "runs", 3, "how often all is measured")
	flags.DurationVar(&o.margin, "margin", 2*time.Second, "how old the data is made before a backup; a minute for network file systems")
	filesystems := flags.String("filesystems", "xfs,btrfs,ext4",
		"on which to measure; the first with all candidates, the others with backup-operator and tar. plain is a directory, without root")
	flags.BoolVar(&o.everywhere, "everywhere", false, "measure all candidates on all file systems")
	only := flags.String("only", "",
		"regular expression of what to measure, as FILESYSTEM/CANDIDATE/STEP, for example xfs/(ours|tar)/restore; candidates: "+
			strings.Join(candidates, ", ")+"; steps: first, unchanged, changed, space, sent, restore, one, verify")
	flags.IntVar(&o.files, "files", 0, "measure the memory that so many empty files take instead")
	flags.StringVar(&o.program, "program", "", "the absolute path of the backup-operator to measure; default: one that is built")
	flags.StringVar(&o.json, "json", "", "write all samples to this file as well")
	flags.StringVar(&o.dir, "dir", "", "where the temporary directory is made; default: the system's place for them")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.filesystems = strings.Split(*filesystems, ",")
	for _, fs := range o.filesystems {
		if !knownFilesystem(fs) {
			return o, fmt.Errorf("-filesystems %s: there is no %q; give xfs, btrfs, ext4 or plain, with commas between", *filesystems, fs)
		}
	}
	if o.size <= 0 || o.rounds < 1 || o.files < 0 || flags.NArg() > 0 {
		return o, errors.New("-size and -runs must be positive, -files not negative, and there are no other arguments")
	}
	if *only != "" {
		pattern, err := regexp.Compile(*only)
		if err != nil {
			return o, fmt.Errorf("-only: %w", err)
		}
		o.only = pattern
	}
	if o.files == 0 && len(o.all()) == 0 {
		return o, fmt.Errorf("-only %s: nothing is called so; an example: xfs/ours/restore", *only)
	}
	return o, nil
}

// run measures what is wanted in a temporary directory, and prints it.
func run(ctx context.Context, o options, w io.Writer) (err error) {
	dir, lock, err := newScratch(o.dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	logf("working in %s, which is removed at the end", dir)
	if busy := load(); busy > 0.5 {
		logf("this machine is busy (load %.1f): the figures are worth little", busy)
	}
	program := o.program
	if program == "" && (o.files > 0 || slices.Contains(o.all(), "ours")) {
		if program, err = buildProgram(ctx, dir); err != nil {
			return err
		}
	}
	if o.files > 0 {
		return benchMany(ctx, w, dir, program, o)
	}
	return benchAll(ctx, w, dir, program, o)
}

func buildProgram(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "backup-operator")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "appliance.io/backup-operator")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build backup-operator: %w", err)
	}
	return program, nil
}

func benchAll(ctx context.Context, w io.Writer, dir, program string, o options) error {
	names := map[string]string{}
	var all []candidate
	for _, short := range o.all() {
		c := newCandidate(short, program, places{})
		names[short] = c.name()
		all = append(all, c)
	}
	m, err := describeMachine(ctx, all)
	if err != nil {
		return err
	}
	if err := checkSpace(dir, o.size); err != nil {
		return err
	}
	b := &bench{plan: o.plan, size: o.size, margin: o.margin, dir: dir, program: program, results: newResults()}
	for i := range o.rounds {
		logf("run %d of %d", i+1, o.rounds)
		if err := b.run(ctx, i); err != nil {
			return err
		}
	}
	if o.json != "" {
		if err := writeJSON(o.json, m, o, b.results); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "Size %g, %d interleaved runs. %s\n\n", o.size, o.rounds, m)
	printTables(w, o.plan, b.results, names)
	return nil
}

// checkSpace returns an error if what candidates write won't fit.
func checkSpace(dir string, size float64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	// The source, a restored copy, and two candidates that each keep all backups in full.
	need := int64(size * 3 * (1 << 30) * (2 + 2*0.65*(days+1) + 2))
	if free := int64(st.Bavail) * st.Bsize; free < need {
		return fmt.Errorf("%.1f GiB are needed in %s and %.1f are free: give another -dir, or a smaller -size", gib(need), dir, gib(free))
	}
	return nil
}

func logf(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }
