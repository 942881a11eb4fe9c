// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package rsync

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestArgumentsTowardsAServer(t *testing.T) {
	delta := []string{"--no-whole-file", "--fuzzy"}
	ssh := "--rsh=ssh -F none%s -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/k/known " +
		"-o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no -o PreferredAuthentications=publickey -o IdentityFile=/k/id " +
		"-o IdentitiesOnly=yes -o IdentityAgent=none -o ClearAllForwardings=yes -o ConnectTimeout=30 " +
		"-o ServerAliveInterval=15 -o ServerAliveCountMax=4 -o LogLevel=ERROR"
	for name, test := range map[string]struct {
		options Options
		want    []string
	}{
		"a daemon's module": {
			Options{Server: Daemon{Host: "nas.example.com", Module: "m"}},
			append(delta, "--contimeout=30", "--", "/a/", "rsync://nas.example.com/m/"),
		},
		"a daemon with everything": {
			Options{Server: Daemon{Host: "fd00::1", Port: 8873, Module: "m", User: "u", PasswordFile: "/p"}, Destination: "/d/e/", Flush: true},
			append(delta, "--contimeout=30", "--password-file=/p", "--fsync", "--", "/a/", "rsync://u@[fd00::1]:8873/m/d/e/"),
		},
		"ssh": {
			Options{Server: SSH{Host: "nas", User: "u", KeyFile: "/k/id", KnownHostsFile: "/k/known"}, Destination: "/d"},
			append(delta, strings.Replace(ssh, "%s", "", 1), "--", "/a/", "u@nas:/d/"),
		},
		"ssh with everything": {
			Options{Server: SSH{Host: "::1", Port: 2222, User: "u", KeyFile: "/k/id", KnownHostsFile: "/k/known"},
				Destination: "/d/", Temporary: "/d/.t", Timeout: time.Minute},
			append(delta, strings.Replace(ssh, "%s", " -p 2222", 1), "--temp-dir=/d/.t", "--timeout=60", "--", "/a/", "u@[::1]:/d/"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.options.Source = "/a"
			got := test.options.Arguments()
			if diff := cmp.Diff(test.want, got[len(got)-len(test.want):]); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			for _, arg := range got {
				if strings.HasPrefix(arg, "--del") || strings.HasPrefix(arg, "--remove") || arg == "--whole-file" {
					t.Errorf("%s", arg)
				}
			}
		})
	}
}

func TestWhatWouldBeMisunderstoodOnTheWayToAServerIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, "")
	daemon := Daemon{Host: "h", Module: "m"}
	ssh := SSH{Host: "h", User: "u", KeyFile: file, KnownHostsFile: file}
	// Each is right but for one thing.
	d := func(change func(*Daemon)) Server { s := daemon; change(&s); return s }
	s := func(change func(*SSH)) Server { s := ssh; change(&s); return s }
	for want, servers := range map[string][]Server{
		"host": {
			d(func(d *Daemon) { d.Host = "" }), d(func(d *Daemon) { d.Host = "-h" }), d(func(d *Daemon) { d.Host = "h/m" }),
			s(func(s *SSH) { s.Host = "-oProxyCommand=x" }), s(func(s *SSH) { s.Host = "h h" }), s(func(s *SSH) { s.Host = "a@h" }),
		},
		"port":            {d(func(d *Daemon) { d.Port = -1 }), s(func(s *SSH) { s.Port = 65536 })},
		"user's name":     {d(func(d *Daemon) { d.User = "a@b" }), s(func(s *SSH) { s.User = "" }), s(func(s *SSH) { s.User = "-l" })},
		"module":          {d(func(d *Daemon) { d.Module = "" }), d(func(d *Daemon) { d.Module = "m/../n" })},
		"both are needed": {d(func(d *Daemon) { d.User = "u" }), d(func(d *Daemon) { d.PasswordFile = file })},
		"needs":           {s(func(s *SSH) { s.KeyFile = "" }), s(func(s *SSH) { s.KnownHostsFile = "" })},
		"path": {
			s(func(s *SSH) { s.KeyFile = "/a b" }), s(func(s *SSH) { s.KeyFile = "relative" }), s(func(s *SSH) { s.KnownHostsFile = "/%d/k" }),
			d(func(d *Daemon) { d.User, d.PasswordFile = "u", "/a'b" }),
		},
		"can't be read": {
			s(func(s *SSH) { s.KeyFile += ".missing" }), s(func(s *SSH) { s.KnownHostsFile += ".missing" }),
			d(func(d *Daemon) { d.User, d.PasswordFile = "u", file+".missing" }),
		},
	} {
		for _, server := range servers {
			refuses(t, want, Options{Source: "/a", Server: server, Destination: "/d"})
		}
	}
	for _, destination := range []string{"", "d", "/d/../e", "/a b", "/$HOME", "/~", "/a:b", "/a*"} {
		refuses(t, "", Options{Source: "/a", Server: ssh, Destination: destination})
	}
	for _, destination := range []string{"../n", "/a/../../n", "a\nb", "a b"} {
		refuses(t, "path", Options{Source: "/a", Server: daemon, Destination: destination})
	}
}

// refuses fails the test if rsync would be started, which this one isn't fit for.
func refuses(t *testing.T, want string, o Options) {
	t.Helper()
	_, err := (Command{Path: "/bin/false"}).Run(t.Context(), o, Hooks{})
	if err == nil || !strings.HasPrefix(err.Error(), "rsync: ") || !strings.Contains(err.Error(), want) {
		t.Errorf("%+v to %q: %v, want one that speaks of %q", o.Server, o.Destination, err, want)
	}
	if strings.Contains(want, "read") && !os.IsNotExist(err) && !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v doesn't tell why", err)
	}
}
