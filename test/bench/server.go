// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// server is an rsync daemon on this machine that serves one directory as a module.
type server struct {
	root   string
	port   int
	stop   context.CancelFunc
	daemon *exec.Cmd
	log    bytes.Buffer
}

// serverModule is the name under which the directory is served.
const serverModule = "backups"

// startServer serves an empty directory below dir.
func startServer(ctx context.Context, dir string) (*server, error) {
	s := &server{root: filepath.Join(dir, "served")}
	if err := os.Mkdir(s.root, 0o755); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.port = listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	config := fmt.Sprintf("use chroot = no\naddress = 127.0.0.1\nuid = %d\ngid = %d\n\n[%s]\npath = %s\nread only = no\n",
		os.Geteuid(), os.Getegid(), serverModule, s.root)
	file := filepath.Join(dir, "rsyncd.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.daemon = exec.CommandContext(ctx, "rsync", "--daemon", "--no-detach", "--config="+file, "--port="+strconv.Itoa(s.port),
		"--log-file=/dev/stderr")
	s.daemon.Cancel = func() error { return s.daemon.Process.Signal(unix.SIGTERM) }
	s.daemon.WaitDelay = 5 * time.Second
	s.daemon.Stdout, s.daemon.Stderr = &s.log, &s.log
	if err := s.daemon.Start(); err != nil {
		return nil, err
	}
	if err := s.wait(ctx); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// wait waits until the daemon answers.
func (s *server) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			return connection.Close()
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the rsync daemon doesn't answer: %w", err)
		}
	}
}

// remove stops the daemon and removes what it served.
func (s *server) remove() error {
	s.stop()
	_ = s.daemon.Wait() // It was told to stop.
	return os.RemoveAll(s.root)
}

// url is where a client finds the directory.
func (s *server) url() string {
	return fmt.Sprintf("rsync://127.0.0.1:%d/%s/", s.port, serverModule)
}

// same returns an error unless the server's copy of a file equals it.
func (s *server) same(path string) error {
	return sameContent(path, filepath.Join(s.root, filepath.Base(path)))
}

func sameContent(a, b string) error {
	var files [2]*os.File
	for i, path := range []string{a, b} {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		files[i] = f
	}
	var blocks [2][1 << 16]byte
	for {
		n, err := io.ReadFull(files[0], blocks[0][:])
		m, _ := io.ReadFull(files[1], blocks[1][:])
		if !bytes.Equal(blocks[0][:n], blocks[1][:m]) {
			return fmt.Errorf("%s differs from %s", b, a)
		}
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// bytesSent reads what rsync's statistics say of it.
func bytesSent(output string) (int64, error) {
	for line := range strings.Lines(output) {
		if number, ok := strings.CutPrefix(line, "Total bytes sent: "); ok {
			return strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		}
	}
	return 0, fmt.Errorf("no statistics in what rsync says: %q", output)
}
