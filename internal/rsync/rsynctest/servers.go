// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package rsynctest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/rsync"
)

// Host is where all of the servers are.
const Host = "127.0.0.1"

// Module is the name under which a daemon serves its directory, and User and Password let in there.
const (
	Module   = "backups"
	User     = "appliance"
	Password = "correct horse"
)

// Daemon serves a directory with an rsync daemon that wants a password.
func Daemon(t testing.TB, root string) (rsync.Daemon, *Listener) {
	t.Helper()
	dir := t.TempDir()
	secrets, password := filepath.Join(dir, "secrets"), filepath.Join(dir, "password")
	config := filepath.Join(dir, "rsyncd.conf")
	put(t, secrets, User+":"+Password+"\n")
	put(t, password, Password+"\n")
	put(t, config, fmt.Sprintf("use chroot = no\nuid = %d\ngid = %d\nlog file = /dev/null\n[%s]\npath = %s\nread only = no\n"+
		"auth users = %s\nsecrets file = %s\n", os.Geteuid(), os.Getegid(), Module, root, User, secrets))
	l := serve(t, "rsync", "--daemon", "--config="+config)
	return rsync.Daemon{Host: Host, Port: l.Port, Module: Module, User: User, PasswordFile: password}, l
}

// SSH serves this machine with an sshd that lets in who runs the test.
func SSH(t testing.TB) (rsync.SSH, *Listener) {
	t.Helper()
	dir := t.TempDir()
	hostKey, key := makeKey(t, dir, "host"), makeKey(t, dir, "client")
	config, known, lock := filepath.Join(dir, "sshd_config"), filepath.Join(dir, "known_hosts"), filepath.Join(dir, "lock")
	// sshd doesn't wait for the rsync that it started when its client goes away. The lock is held until that ends.
	put(t, config, fmt.Sprintf("ForceCommand exec flock --shared %s sh -c \"$SSH_ORIGINAL_COMMAND\"\n"+
		"HostKey %s\nAuthorizedKeysFile %s.pub\nStrictModes no\nPidFile none\nUsePAM no\n"+
		"PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n", lock, hostKey, key))
	if os.Geteuid() == 0 {
		// The service makes it when it starts. Where the service never did, sshd wants it all the same.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l := serve(t, "/usr/sbin/sshd", "-i", "-e", "-f", config)
	l.lock = lock
	public, err := os.ReadFile(hostKey + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	put(t, known, fmt.Sprintf("[%s]:%d %s", Host, l.Port, public))
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return rsync.SSH{Host: Host, Port: l.Port, User: me.Username, KeyFile: key, KnownHostsFile: known}, l
}

// makeKey makes a key pair and returns the file of the private one.
func makeKey(t testing.TB, dir, name string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	cmd := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", file)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, strings.TrimSpace(string(out)))
	}
	return file
}

func put(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
