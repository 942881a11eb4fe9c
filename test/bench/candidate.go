// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"golang.org/x/sys/unix"
)

// candidate is one way of making a backup, with what was measured of it.
type candidate struct {
	name    string
	against *candidate // what its time is compared with; nil for itself
	command []string
	output  string // the directory that it writes to
	walls   []time.Duration
	cpus    []time.Duration
	peaks   []int64 // bytes of memory of the biggest process
	bytes   int64   // that it wrote
}

// newCandidates says what is compared: the writer with tar and zstd, and the whole command, which measures, checks and
// flushes besides, with tar and zstd whose output is flushed too.
func newCandidates(dir, data, self, binary string) []*candidate {
	const pipe = `tar -C "$1" -cf - . | zstd -q -T0 -3 -o "$2/data.tar.zst"`
	tar := &candidate{name: "GNU tar \\| zstd -T0 -3", output: filepath.Join(dir, "tar")}
	tar.command = []string{"sh", "-c", pipe, "sh", data, tar.output}

	write := &candidate{name: "archive.Write", against: tar, output: filepath.Join(dir, "write")}
	write.command = []string{self, "write", data, filepath.Join(write.output, "data.tar.zst")}

	flushed := &candidate{name: "GNU tar \\| zstd -T0 -3, sync", output: filepath.Join(dir, "flushed")}
	flushed.command = []string{"sh", "-c", pipe + ` && sync "$2/data.tar.zst"`, "sh", data, flushed.output}

	backup := &candidate{name: "backup-operator backup", against: flushed, output: filepath.Join(dir, "backup")}
	backup.command = []string{binary, "backup", "--policy", "bench/bench", "--source", "data=" + data,
		"--directory", backup.output, "--prefix", "bench", "--keep", "1"}
	return []*candidate{tar, write, flushed, backup}
}

// run runs the candidate once, into an empty directory, with nothing left to be written by the run before.
func (c *candidate) run(ctx context.Context) error {
	defer os.RemoveAll(c.output)
	if err := os.RemoveAll(c.output); err != nil {
		return err
	}
	if err := os.MkdirAll(c.output, 0o755); err != nil {
		return err
	}
	unix.Sync()
	cmd := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w\n%s", err, output.String())
	}
	c.walls = append(c.walls, time.Since(begin))
	c.cpus = append(c.cpus, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.peaks = append(c.peaks, usage.Maxrss<<10)
	}
	var err error
	c.bytes, err = sizeOf(c.output)
	return err
}

// sizeOf is the size of the files in a directory.
func sizeOf(dir string) (int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	total := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return 0, err
		}
		total += info.Size()
	}
	return total, nil
}

// writeArchive is the candidate that is the archive's writer alone.
func writeArchive(ctx context.Context, data, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = archive.Write(ctx, f, []archive.Source{{Name: "data", Path: data}}, archive.Options{})
	if err != nil {
		return err
	}
	return f.Close()
}

func median[T time.Duration | int64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// printTable prints the medians.
func printTable(w io.Writer, candidates []*candidate) {
	fmt.Fprintln(w, "| | wall s | ratio | from–to s | CPU s | peak MiB | GiB written |")
	fmt.Fprintln(w, "|---|---:|---:|---:|---:|---:|---:|")
	for _, c := range candidates {
		baseline := c.against
		if baseline == nil {
			baseline = c
		}
		fmt.Fprintf(w, "| %s | %.2f | %.2f | %.2f–%.2f | %.2f | %d | %.3f |\n", c.name,
			median(c.walls).Seconds(), median(c.walls).Seconds()/median(baseline.walls).Seconds(),
			slices.Min(c.walls).Seconds(), slices.Max(c.walls).Seconds(), median(c.cpus).Seconds(),
			median(c.peaks)>>20, gib(c.bytes))
	}
}
