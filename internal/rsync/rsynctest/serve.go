// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package rsynctest has servers for tests to send files to: a real rsync daemon and a real sshd on this machine's own
// address, which begin with a connection and end with the test.
package rsynctest

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Listener starts a process for each connection, which has it as standard input and output, as inetd(8) does.
type Listener struct {
	// Port is where it listens, on 127.0.0.1.
	Port int

	listener net.Listener
	cancel   context.CancelFunc
	running  sync.WaitGroup
	lock     string // a file that what the processes started holds a lock on; empty if they wait for it themselves
	mu       sync.Mutex
	said     bytes.Buffer
}

// Write collects what the processes say. It is for them.
func (l *Listener) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.Write(p)
}

// Said is what the processes wrote to standard error so far.
func (l *Listener) Said() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.String()
}

// Close ends all processes and waits for them.
func (l *Listener) Close() {
	l.cancel()
	l.Drain()
}

// Drain takes no more connections, and waits until the processes have ended by themselves.
func (l *Listener) Drain() {
	l.listener.Close()
	l.running.Wait()
	if l.lock == "" {
		return
	}
	file, err := os.Open(l.lock)
	if err != nil {
		return // Nothing was ever started.
	}
	defer file.Close()
	_ = unix.Flock(int(file.Fd()), unix.LOCK_EX)
}

// listen begins to listen, until the test's end.
func listen(t testing.TB, handle func(ctx context.Context, l *Listener, c *net.TCPConn)) *Listener {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", Host+":0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Listener{listener: listener, cancel: cancel, Port: listener.Addr().(*net.TCPAddr).Port}
	l.running.Add(1)
	go func() {
		defer l.running.Done()
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			l.running.Add(1)
			go func() {
				defer l.running.Done()
				defer c.Close()
				handle(ctx, l, c.(*net.TCPConn))
			}()
		}
	}()
	t.Cleanup(l.Close)
	return l
}

// serve starts a command for each connection.
func serve(t testing.TB, name string, args ...string) *Listener {
	t.Helper()
	return listen(t, func(ctx context.Context, l *Listener, c *net.TCPConn) {
		file, err := c.File()
		if err != nil {
			return
		}
		defer file.Close()
		c.Close() // The process has it.
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = file, file, l
		_ = cmd.Run() // What went wrong is seen by the client, and in what was said.
	})
}
