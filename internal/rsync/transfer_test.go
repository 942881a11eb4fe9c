// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package rsync_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/rsync"
	"appliance.io/backup-operator/internal/rsync/rsynctest"
)

const (
	oldName = "appliance-20261122T050000Z.tar.zst"
	newName = "appliance-20261123T050001Z.tar.zst"
)

// place is a server, the directory of this machine that is behind it, and where that is on the server.
type place struct {
	server      rsync.Server
	listener    *rsynctest.Listener
	directory   string
	destination string
}

// places are servers of all kinds, each with an empty directory.
func places(t *testing.T) map[string]place {
	t.Helper()
	a, b := t.TempDir(), t.TempDir()
	daemon, daemonListener := rsynctest.Daemon(t, a)
	ssh, sshListener := rsynctest.SSH(t)
	if err := os.Mkdir(filepath.Join(a, "mirror"), 0o700); err != nil {
		t.Fatal(err)
	}
	return map[string]place{
		"daemon": {daemon, daemonListener, filepath.Join(a, "mirror"), "/mirror"},
		"ssh":    {ssh, sshListener, b, b},
	}
}

// send brings files to a server.
func send(t *testing.T, source string, server rsync.Server, destination string, files ...string) (rsync.Result, error) {
	t.Helper()
	command, err := rsync.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return command.Run(t.Context(), rsync.Options{
		Source: source, Server: server, Destination: destination, Files: files, Flush: true, Timeout: time.Minute,
	}, rsync.Hooks{})
}

// archives makes two files as archives of two days are: of so many frames, of which 1 in 100 differs. It returns the
// directory, and the sizes of the second one and of its frames that the first hasn't.
func archives(t *testing.T, frames int) (dir string, size, fresh int64) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{1})
	frame := func(i int) []byte {
		b := make([]byte, 4096*(16+i%49))
		_, _ = random.Read(b)
		return b
	}
	var first, second bytes.Buffer
	for i := range frames {
		b := frame(i)
		first.Write(b)
		if i%100 == 50 {
			b = frame(i + 3)
			fresh += int64(len(b))
		}
		second.Write(b)
	}
	dir = t.TempDir()
	put(t, filepath.Join(dir, oldName), first.Bytes())
	put(t, filepath.Join(dir, newName), second.Bytes())
	return dir, int64(second.Len()), fresh
}

func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// names lists a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// same fails the test unless the file is the same in both directories.
func same(t *testing.T, a, b, name string) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join(a, name))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(b, name)); err != nil || !bytes.Equal(want, got) {
		t.Errorf("%s isn't the same at the other end: %d bytes, %v", name, len(got), err)
	}
}

func TestOnlyWhatChangedCrossesToAServer(t *testing.T) {
	source, size, fresh := archives(t, 400)
	for name, p := range places(t) {
		t.Run(name, func(t *testing.T) {
			first, err := send(t, source, p.server, p.destination, oldName)
			if err != nil {
				t.Fatalf("%v\n%s", err, p.listener.Said())
			}
			if first.BytesCrossed < first.BytesSent || first.BytesMatched != 0 {
				t.Errorf("the first time: %+v", first)
			}
			// A sidecar must not be taken for the archive's old version.
			put(t, filepath.Join(p.directory, oldName+".sha256"), []byte("0123 *a\n"))
			second, err := send(t, source, p.server, p.destination, newName)
			if err != nil {
				t.Fatalf("%v\n%s", err, p.listener.Said())
			}
			t.Logf("%d bytes, %d of them new: %d crossed", size, fresh, second.BytesCrossed)
			if second.BytesSent != size || second.BytesCrossed < fresh || second.BytesCrossed > 2*fresh || 2*fresh > size/10 {
				t.Errorf("of %d bytes %d are new, and it crossed %+v", size, fresh, second)
			}
			same(t, source, p.directory, newName)
			same(t, source, p.directory, oldName)
			third, err := send(t, source, p.server, p.destination, oldName, newName)
			if err != nil || third.FilesTransferred != 0 || third.BytesCrossed > 1000 {
				t.Errorf("again: %+v, %v", third, err)
			}
		})
	}
}

func TestAServerThatGoesAwayLeavesNoFinalName(t *testing.T) {
	source, size, _ := archives(t, 100)
	for name, p := range places(t) {
		t.Run(name, func(t *testing.T) {
			put(t, filepath.Join(p.directory, "there"), []byte("before"))
			away := rsynctest.Cut(t, p.listener.Port, size/2)
			server := p.server
			switch s := server.(type) {
			case rsync.Daemon:
				s.Port = away.Port
				server = s
			case rsync.SSH:
				knows(t, s.KnownHostsFile, s.Port, away.Port)
				s.Port = away.Port
				server = s
			}
			_, err := send(t, source, server, p.destination, newName)
			var failed *rsync.Error
			if !errors.As(err, &failed) || !strings.Contains(err.Error(), "connection to the remote end failed") {
				t.Errorf("error %v", err)
			}
			p.listener.Drain()
			if there := names(t, p.directory); !slices.Equal(there, []string{"there"}) {
				t.Errorf("left behind: %q", there)
			}
		})
	}
}

// knows adds to a known_hosts file that the key of one port is that of another one as well.
func knows(t *testing.T, file string, port, other int) {
	t.Helper()
	known, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	put(t, file, bytes.Replace(known, fmt.Appendf(nil, "]:%d ", port), fmt.Appendf(nil, "]:%d ", other), 1))
}

func TestAServerThatIsNotTheRightOneIsSentNothing(t *testing.T) {
	source := t.TempDir()
	put(t, filepath.Join(source, newName), []byte("secret"))
	server, _ := rsynctest.SSH(t)
	stranger, _ := rsynctest.SSH(t)
	for name, known := range map[string]string{"unknown": stranger.KnownHostsFile, "changed": changed(t, server, stranger)} {
		t.Run(name, func(t *testing.T) {
			target := t.TempDir()
			s := server
			s.KnownHostsFile = known
			_, err := send(t, source, s, target, newName)
			if !errors.Is(err, rsync.ErrHostKey) || errors.Is(err, rsync.ErrRefused) {
				t.Fatalf("error %v", err)
			}
			if text := err.Error(); !strings.Contains(text, "host key is unknown or has changed") || !strings.Contains(text, "127.0.0.1") {
				t.Errorf("the message doesn't help: %s", text)
			}
			if got := names(t, target); got != nil {
				t.Errorf("%q was sent", got)
			}
		})
	}
}

// changed is a known_hosts file that has another server's key under the name of the first.
func changed(t *testing.T, server, other rsync.SSH) string {
	t.Helper()
	known, err := os.ReadFile(other.KnownHostsFile)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "known_hosts")
	put(t, file, known)
	knows(t, file, other.Port, server.Port)
	return file
}

func TestALoginThatIsRefusedSaysSo(t *testing.T) {
	source := t.TempDir()
	put(t, filepath.Join(source, newName), []byte("x"))
	wrong := filepath.Join(t.TempDir(), "password")
	put(t, wrong, []byte("wrong battery\n"))
	daemon, _ := rsynctest.Daemon(t, t.TempDir())
	daemon.PasswordFile = wrong
	server, _ := rsynctest.SSH(t)
	stranger, _ := rsynctest.SSH(t)
	server.KeyFile = stranger.KeyFile
	for name, s := range map[string]rsync.Server{"password": daemon, "key": server} {
		t.Run(name, func(t *testing.T) {
			_, err := send(t, source, s, t.TempDir(), newName)
			if !errors.Is(err, rsync.ErrRefused) || errors.Is(err, rsync.ErrHostKey) {
				t.Fatalf("error %v", err)
			}
			if strings.Contains(err.Error(), "battery") {
				t.Errorf("the password is in the message: %v", err)
			}
		})
	}
}
