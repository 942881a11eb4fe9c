// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package priority makes a program stand back behind others that want the same processor or disk.
//
// What it sets is what a considerate administrator would put before a backup's command line: nice -n 19, chrt --batch 0,
// ionice -c best-effort -n 7.
//
//   - Niceness 19 is a sixtieth of what others get while they want the processor, and all of it when they don't. Between
//     containers, the weights of their cgroups decide instead.
//   - A thread of the policy SCHED_BATCH that wakes up doesn't interrupt another that is running, wherever that is from.
//   - The lowest priority of the best-effort class still goes on with a disk that is never idle. The idle class
//     may stand still for ever there, and with it whoever waits for what it holds: a file system's journal, for example.
package priority

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Niceness is the CPU priority that Lower sets: the lowest.
const Niceness = 19

// Parts of an I/O priority, from linux/ioprio.h.
const (
	ioprioWhoProcess = 1
	ioprioClassShift = 13
	ioprioClassNone  = 0
	ioprioClassBest  = 2
	// IOPriority is what Lower sets: the lowest of the best-effort class.
	IOPriority = ioprioClassBest<<ioprioClassShift | 7
)

// Lower lowers the priority of all threads of this process for processor and disk. Threads and children that are started
// later inherit it. It needs no privilege, and there is no way back without one.
//
// What somebody has chosen for this process stays: a niceness that isn't 0, another scheduling policy than the usual one,
// an I/O priority. It is an error if some of it could not be set; the rest is.
func Lower() error {
	// Each thread has its own. One that is not done yet may have started another one meanwhile, so look again until
	// there is nothing left to be done, and once more for a thread that was being started during that look. The number
	// of looks is bounded for kernels that say yes and do nothing.
	var failed error
	for looks, quiet := 0, 0; quiet < 2 && looks < 100; looks++ {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("lower the priority: list the threads: %w", err)
		}
		var changed bool
		changed, failed = lowerAll(threads)
		if quiet++; changed {
			quiet = 0
		}
	}
	if failed != nil {
		return fmt.Errorf("lower the priority: %w", failed)
	}
	return nil
}

// lowerAll lowers threads, and reports whether anything had to be done and could be.
func lowerAll(threads []os.DirEntry) (changed bool, err error) {
	var errs []error
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return false, err
		}
		for _, lower := range []func(int) (bool, error){lowerNiceness, lowerPolicy, lowerIO} {
			done, err := lower(id)
			switch {
			case errors.Is(err, unix.ESRCH): // It has ended.
			case err != nil:
				errs = append(errs, fmt.Errorf("thread %d: %w", id, err))
			default:
				changed = changed || done
			}
		}
	}
	return changed, errors.Join(errs...)
}

func lowerNiceness(thread int) (bool, error) {
	// The system call returns 20 less the niceness, so as never to be negative.
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, thread)
	if err == nil && raw == 20 {
		return true, os.NewSyscallError("setpriority", unix.Setpriority(unix.PRIO_PROCESS, thread, Niceness))
	}
	return false, os.NewSyscallError("getpriority", err)
}

func lowerPolicy(thread int) (bool, error) {
	attr, err := unix.SchedGetAttr(thread, 0)
	if err == nil && attr.Policy == unix.SCHED_NORMAL {
		attr.Policy = unix.SCHED_BATCH
		return true, os.NewSyscallError("sched_setattr", unix.SchedSetAttr(thread, attr, 0))
	}
	return false, os.NewSyscallError("sched_getattr", err)
}

func lowerIO(thread int) (bool, error) {
	now, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioprioWhoProcess, uintptr(thread), 0)
	if errno != 0 {
		return false, os.NewSyscallError("ioprio_get", errno)
	}
	if now>>ioprioClassShift != ioprioClassNone {
		return false, nil
	}
	_, _, errno = unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, uintptr(thread), IOPriority)
	if errno != 0 {
		return false, os.NewSyscallError("ioprio_set", errno)
	}
	return true, nil
}
