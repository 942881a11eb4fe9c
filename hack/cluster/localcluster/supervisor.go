// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// supervisor starts a node's components and, being process 1, reaps every
// process of the node that ends. A component that ends is not started again: in
// a test cluster that would hide the fault. Its end is written down for up.
type supervisor struct {
	cluster Cluster
	node    Node

	mu      sync.Mutex
	waiting map[int]chan syscall.WaitStatus // by process id
	started chan struct{}                   // closed when there is a first child to wait for
	once    sync.Once
}

func newSupervisor(c Cluster, n Node) *supervisor {
	return &supervisor{cluster: c, node: n, waiting: map[int]chan syscall.WaitStatus{}, started: make(chan struct{})}
}

// start runs a component in the background, its output in a log file.
func (s *supervisor) start(part component) error {
	ended, err := s.spawn(part)
	if err != nil {
		return err
	}
	go func() {
		status := <-ended
		s.fail(fmt.Errorf("%s ended: %s", part.name, describe(status)))
	}()
	return nil
}

// runToEnd runs a command and waits for it; its output is in a log file too.
func (s *supervisor) runToEnd(name string, args ...string) error {
	ended, err := s.spawn(component{name, args})
	if err != nil {
		return err
	}
	if status := <-ended; status != 0 {
		return fmt.Errorf("%s: %s", name, describe(status))
	}
	return nil
}

func (s *supervisor) spawn(part component) (<-chan syscall.WaitStatus, error) {
	log, err := os.OpenFile(s.cluster.logFile(s.node, part.name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	program, err := exec.LookPath(part.args[0])
	if err != nil {
		return nil, err
	}
	// Held until the process is noted, or reap could miss its end.
	s.mu.Lock()
	defer s.mu.Unlock()
	process, err := os.StartProcess(program, part.args, &os.ProcAttr{
		Dir:   s.cluster.nodePath(s.node),
		Env:   os.Environ(),
		Files: []*os.File{nil, log, log},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", part.name, err)
	}
	ended := make(chan syscall.WaitStatus, 1)
	s.waiting[process.Pid] = ended
	s.once.Do(func() { close(s.started) })
	return ended, nil
}

// reap waits for children, its own and those that lost their parent, for ever.
func (s *supervisor) reap() {
	<-s.started
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil { // no children left: nothing will ever come again
			return
		}
		s.mu.Lock()
		if ended, known := s.waiting[pid]; known {
			ended <- status
			delete(s.waiting, pid)
		}
		s.mu.Unlock()
	}
}

// fail leaves word that the node is broken, and why.
func (s *supervisor) fail(err error) {
	file := failureFile(s.cluster, s.node)
	if _, statErr := os.Stat(file); statErr == nil {
		return // the first fault explains the others
	}
	if writeErr := os.WriteFile(file, []byte(err.Error()), 0o644); writeErr != nil {
		say("%v", writeErr)
	}
}

func failureFile(c Cluster, n Node) string { return filepath.Join(c.nodePath(n), "failed") }

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "killed by signal " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}
