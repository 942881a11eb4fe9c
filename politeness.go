// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/cgroup"
	"appliance.io/backup-operator/internal/priority"
)

// standBack gives way to others that want the processor or the disk, for work that isn't urgent. Failing that, the work
// is done all the same.
func standBack(log *slog.Logger) {
	if err := priority.Lower(); err != nil {
		log.Warn("this run takes as much of the processor and the disk as others", "error", err)
	}
}

// writersThatFit is how many workers may write an archive of a level.
func writersThatFit(log *slog.Logger, level int) int {
	base, each := archive.WriteMemory(level)
	return fitMemory(log, base, each)
}

// readersThatFit is how many workers may read an archive.
func readersThatFit(log *slog.Logger) int {
	base, each := archive.ReadMemory()
	return fitMemory(log, base, each)
}

// fitMemory keeps the program within the memory that its container has, and returns how many workers fit into that, of
// which each takes so much and all together besides base: at most one for each processor. A GOMEMLIMIT that somebody has
// set counts instead.
func fitMemory(log *slog.Logger, base, each int64) int {
	return cgroup.Workers(useMemory(log), base, each, runtime.GOMAXPROCS(0))
}

// useMemory sets and returns how much memory, in bytes, Go's runtime uses at most.
func useMemory(log *slog.Logger) int64 {
	if _, chosen := os.LookupEnv("GOMEMLIMIT"); chosen {
		return debug.SetMemoryLimit(-1)
	}
	limit, err := cgroup.MemoryLimit(os.DirFS("/"))
	if err != nil {
		log.Warn("how much memory this container has is not known", "error", err)
		return cgroup.NoLimit
	}
	memory := cgroup.GoMemory(limit)
	if memory > 0 && memory != cgroup.NoLimit {
		debug.SetMemoryLimit(memory)
	}
	return memory
}

const (
	// garbagePercent is how much garbage the operator lets gather before it is collected, in percent of what is in use. Go's
	// 100 would have it take twice the memory that it needs.
	garbagePercent = 25
	// ballastBytes counts as in use too, so that a small operator doesn't collect garbage all the time. Nobody touches it, so
	// it takes no memory.
	ballastBytes = 32 << 20
)

// thrift keeps the operator small. It returns what has to be kept alive for that. A GOGC that somebody has set counts
// instead.
func thrift(log *slog.Logger) (ballast []byte) {
	useMemory(log)
	if _, chosen := os.LookupEnv("GOGC"); chosen {
		return nil
	}
	debug.SetGCPercent(garbagePercent)
	return make([]byte, ballastBytes)
}
