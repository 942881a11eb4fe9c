// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// A process can't end while one of its threads waits in the kernel for a file system that doesn't answer, not even if it
// is killed, and whoever started it would wait for it too. So the commands that look into directories do so in a second
// process, the worker. When its work is done, the worker hands its exit status to the first process, the supervisor, which
// ends with it even if the worker can't.

const (
	// workerVariable is set in a worker's environment.
	workerVariable = "BACKUP_OPERATOR_WORKER"
	// statusFile is the worker's file descriptor for the exit status, a single byte.
	statusFile = 3
	// endGrace is how long a worker that has handed over its exit status may take to end.
	endGrace = 2 * time.Second
)

// supervisedCommands are those that look into directories of backups.
var supervisedCommands = []string{"backup", "list", "restore", "verify"}

// supervise does the program's work in a worker, if it is of that kind, and returns the exit status. Where there can be no
// worker, as without /proc, it reports false.
func supervise(args []string) (status int, done bool) {
	if len(args) < 2 || !slices.Contains(supervisedCommands, args[1]) || os.Getenv(workerVariable) != "" {
		return 0, false
	}
	read, write, err := os.Pipe()
	if err != nil {
		return 0, false
	}
	defer read.Close()
	worker := exec.Command("/proc/self/exe", args[1:]...) //nolint:noctx,gosec // Signals are forwarded; this program once more.
	worker.Args[0] = args[0]
	worker.Env = append(os.Environ(), workerVariable+"=1")
	worker.Stdin, worker.Stdout, worker.Stderr = os.Stdin, os.Stdout, os.Stderr
	worker.ExtraFiles = []*os.File{write}
	// A group of its own, so that a terminal's signals come from here alone. The worker doesn't outlive its supervisor; that
	// is bound to the thread that starts it.
	worker.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	err = worker.Start()
	write.Close()
	if err != nil {
		return 0, false
	}
	return waitForWorker(worker, read, signals), true
}

// waitForWorker forwards signals to the worker until it has ended, or has handed over its exit status.
func waitForWorker(worker *exec.Cmd, read *os.File, signals <-chan os.Signal) int {
	ended, handed := make(chan int, 1), make(chan int, 1)
	go func() { ended <- endAs(worker.Wait()) }()
	go func() {
		var status [1]byte
		if n, _ := read.Read(status[:]); n == 1 {
			handed <- int(status[0])
		}
	}()
	for {
		select {
		case s := <-signals:
			_ = worker.Process.Signal(s)
		case status := <-ended:
			return status
		case status := <-handed:
			select {
			case <-ended:
			case <-time.After(endGrace):
				fmt.Fprintf(os.Stderr, "Process %d is left behind: it waits for a file system that does not answer.\n",
					worker.Process.Pid)
			}
			return status
		}
	}
}

// endAs returns the exit status of a worker. If a signal ended that, it ends this process as well; where it can't, because
// this is the first process of a container, the exit status is what a shell makes of it.
func endAs(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		return 1
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return exit.ExitCode()
	}
	asShellsSay := 128 + int(status.Signal())
	if os.Getpid() == 1 || status.Signal() == syscall.SIGPIPE {
		return asShellsSay // A signal of its own doesn't end the first process of a container, and SIGPIPE no Go program.
	}
	signal.Reset(status.Signal())
	_ = syscall.Kill(os.Getpid(), status.Signal())
	<-time.After(endGrace) // The signal ends this process before.
	return asShellsSay
}

// handOver hands an exit status to the supervisor, if this is a worker. Nothing else is left to do then.
func handOver(status int) int {
	if os.Getenv(workerVariable) != "" {
		_, _ = os.NewFile(statusFile, "status").Write([]byte{byte(status)})
	}
	return status
}

// becomeWorker keeps the worker's file descriptor from the processes that it starts.
func becomeWorker() {
	if os.Getenv(workerVariable) != "" {
		syscall.CloseOnExec(statusFile)
	}
}
