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
	"os/signal"
	"slices"

	"golang.org/x/sys/unix"

	"appliance.io/backup-operator/test/benchmark"
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

// run measures what is wanted in a temporary directory, and prints it.
func run(ctx context.Context, o options, w io.Writer) (err error) {
	dir, lock, err := newScratch(o.dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	logf("working in %s, which is removed at the end", dir)
	benchmark.WarnIfBusy("bench")
	program := o.program
	if program == "" && (o.files > 0 || slices.Contains(o.all(), "ours")) {
		if program, err = benchmark.BuildProgram(ctx, dir); err != nil {
			return err
		}
	}
	if o.files > 0 {
		return benchMany(ctx, w, dir, program, o)
	}
	return benchAll(ctx, w, dir, program, o)
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
	if err := checkSpace(dir, o.size, o.days); err != nil {
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
func checkSpace(dir string, size float64, days int) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	// The source, a restored copy, and two candidates that each keep all backups in full, of two thirds of the size.
	need := int64(size * 3 * (1 << 30) * (2.2 + 2*0.65*float64(days+1)))
	if free := int64(st.Bavail) * st.Bsize; free < need {
		return fmt.Errorf("%.1f GiB are needed in %s and %.1f are free: give another -dir, or a smaller -size",
			gib(need), dir, gib(free))
	}
	return nil
}

func logf(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }
