// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package rsync

import (
	"errors"
	"os"
	"os/exec"
	"time"
)

// family tells when a process and all the processes it started have ended. rsync receives files in a process of its
// own, which may outlive the first one for a moment and give a file its name after everybody thought it was over.
//
// All of them inherit the writing end of a pipe that nobody writes to. When the last one is gone, and be it as a zombie
// that nobody has waited for yet, reading from the pipe ends.
type family struct {
	read, write *os.File
}

// newFamily prepares a command for having its family watched.
func newFamily(cmd *exec.Cmd) (*family, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, write)
	return &family{read: read, write: write}, nil
}

// started must be called when the command has started: the end that this process holds is closed.
func (f *family) started() { f.write.Close() }

// wait returns when all are gone. After the given time it gives up and reports false: who still lives then hangs in a
// file system that is away.
func (f *family) wait(most time.Duration) bool {
	if err := f.read.SetReadDeadline(time.Now().Add(most)); err != nil {
		return false
	}
	_, err := f.read.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

func (f *family) close() {
	f.write.Close()
	f.read.Close()
}
