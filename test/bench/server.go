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
	"sync"

	"appliance.io/backup-operator/internal/rsync"
)

// server is an rsync daemon on this machine that serves one directory as a module. It is started for each connection, as
// inetd(8) does it.
type server struct {
	root     string
	config   string
	listener net.Listener
	serving  sync.WaitGroup
	said     bytes.Buffer // to be read when nobody is served any more
}

// serverModule is the name under which the directory is served.
const serverModule = "backups"

// startServer serves an empty directory below dir.
func startServer(ctx context.Context, dir string) (*server, error) {
	s := &server{root: filepath.Join(dir, "served"), config: filepath.Join(dir, "rsyncd.conf")}
	if err := os.Mkdir(s.root, 0o755); err != nil {
		return nil, err
	}
	config := fmt.Sprintf("use chroot = no\nuid = %d\ngid = %d\nlog file = /dev/stderr\n\n[%s]\npath = %s\nread only = no\n",
		os.Geteuid(), os.Getegid(), serverModule, s.root)
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		return nil, err
	}
	var err error
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	s.serving.Go(func() { s.serve(ctx) })
	return s, nil
}

// serve serves one connection after the other until the listener is closed.
func (s *server) serve(ctx context.Context) {
	for {
		connection, err := s.listener.Accept()
		if err != nil {
			return
		}
		file, err := connection.(*net.TCPConn).File()
		connection.Close() // The daemon has it.
		if err != nil {
			fmt.Fprintln(&s.said, err)
			continue
		}
		daemon := exec.CommandContext(ctx, "rsync", "--daemon", "--config="+s.config)
		daemon.Stdin, daemon.Stdout, daemon.Stderr = file, file, &s.said
		if err := daemon.Run(); err != nil {
			fmt.Fprintln(&s.said, err)
		}
		file.Close()
	}
}

// remove stops the server and removes what it served.
func (s *server) remove() error {
	s.listener.Close()
	s.serving.Wait()
	return os.RemoveAll(s.root)
}

// address is where a client finds the directory.
func (s *server) address() rsync.Daemon {
	port := s.listener.Addr().(*net.TCPAddr).Port
	return rsync.Daemon{Host: "127.0.0.1", Port: port, Module: serverModule}
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
