// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// steps are the lines that a command writes to standard error, each of which it can only write when the one before it
// has been read.
type steps struct {
	t           *testing.T
	read, write *os.File
}

// stepwise makes a command write its log line by line to the test. A pipe with packets holds each write by itself, and
// one of a page's size holds a single one.
func stepwise(t *testing.T, cmd *exec.Cmd) *steps {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_DIRECT|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	read, write := os.NewFile(uintptr(fds[0]), "read"), os.NewFile(uintptr(fds[1]), "write")
	t.Cleanup(func() { read.Close(); write.Close() })
	if _, err := unix.FcntlInt(write.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize()); err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = write
	return &steps{t: t, read: read, write: write}
}

// started must be called when the command has started: its end then is the log's end.
func (s *steps) started() { s.write.Close() }

// wait returns when a line is there to be read. The command then waits at the next one.
func (s *steps) wait() {
	s.t.Helper()
	poll := []unix.PollFd{{Fd: int32(s.read.Fd()), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(poll, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			s.t.Fatal(err)
		}
		return
	}
}

// next reads a line.
func (s *steps) next() string {
	s.t.Helper()
	line, err := s.line()
	if err != nil {
		s.t.Fatalf("the log ended: %v", err)
	}
	return line
}

// drain reads the rest.
func (s *steps) drain() {
	s.t.Helper()
	for {
		if _, err := s.line(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			s.t.Fatal(err)
		}
	}
}

// line reads a packet. What doesn't fit into the buffer would be lost, and a pipe's packet is a page at most.
func (s *steps) line() (string, error) {
	packet := make([]byte, os.Getpagesize())
	n, err := s.read.Read(packet)
	if err != nil {
		return "", err
	}
	line := strings.TrimSpace(string(packet[:n]))
	s.t.Log(line)
	return line, nil
}
