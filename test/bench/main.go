// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command bench compares a first backup with `tar | zstd -T0 -3` on the same data in the same run.
//
//	go run ./test/bench [-size 1] [-runs 5] [-dir DIRECTORY]
//	go run ./test/bench -files 1000000 [-dir DIRECTORY]
//
// It generates a deterministic data set like an appliance's: 40,000 small files, logs, and recordings that can't be
// compressed further, 3 GiB at size 1. It then runs the candidates in turn, several times over, on a warm page cache,
// and prints a Markdown table of medians. With -files it shows instead what so many files take in memory. Data and
// archives are in a temporary directory, which is removed at the end.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	err := command(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context) error {
	// The candidates are processes, so that their memory can be told; ours is this program once more.
	if len(os.Args) == 4 && os.Args[1] == "write" {
		return writeArchive(ctx, os.Args[2], os.Args[3])
	}
	size := flag.Float64("size", 1, "size of the data set; 1 is 3 GiB")
	runs := flag.Int("runs", 5, "runs of each candidate")
	files := flag.Int("files", 0, "write an archive of so many empty files instead")
	parent := flag.String("dir", "", "where the temporary directory is made; default: the system's place for them")
	flag.Parse()
	if *size <= 0 || *runs < 1 || *files < 0 || flag.NArg() > 0 {
		return fmt.Errorf("-size, -runs and -files must be positive, and there are no other arguments")
	}
	dir, err := os.MkdirTemp(*parent, "backup-operator-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(os.Stderr, "bench: working in %s, which is removed at the end\n", dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if *files > 0 {
		return benchMany(ctx, dir, self, *files)
	}
	return bench(ctx, dir, self, *size, *runs)
}

func bench(ctx context.Context, dir, self string, size float64, runs int) error {
	binary := filepath.Join(dir, "backup-operator")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "appliance.io/backup-operator")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build backup-operator: %w", err)
	}
	data := filepath.Join(dir, "data")
	fmt.Fprintln(os.Stderr, "bench: generating the data set")
	set, err := generate(ctx, data, size)
	if err != nil {
		return fmt.Errorf("generate data: %w", err)
	}
	candidates := newCandidates(dir, data, self, binary)
	for run := range runs {
		for _, c := range candidates {
			fmt.Fprintf(os.Stderr, "bench: run %d of %d: %s\n", run+1, runs, c.name)
			if err := c.run(ctx); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	fmt.Printf("First backup of %d files, %.2f GiB; %d cores, warm cache, medians of %d interleaved runs.\n"+
		"Each ratio is to the line above. Peak is the biggest process's.\n\n",
		set.files, gib(set.bytes), runtime.GOMAXPROCS(0), runs)
	printTable(os.Stdout, candidates)
	return nil
}

func gib(n int64) float64 { return float64(n) / (1 << 30) }
