// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package rsync

import (
	"fmt"
	"net/netip"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// Server is a machine that files are sent to: a Daemon or an SSH. No secret is in it, but the names of the files that
// hold them, so that it may be logged and none is seen among a process's arguments.
type Server interface {
	// check returns an error for what rsync or ssh would understand otherwise than it is meant.
	check(destination string) error
	// target is the destination as rsync wants it.
	target(destination string) string
	// arguments say how the server is reached.
	arguments() []string
	// needs are the files that must be readable.
	needs() []string
}

// connectSeconds is how long a server may take to answer at all.
const connectSeconds = 30

// Daemon is an rsync daemon. What it is sent crosses the network as it is: the password is never sent in plain, but
// files are.
type Daemon struct {
	// Host is a name or an address.
	Host string
	// Port 0 means rsync's own, 873.
	Port int
	// Module is the daemon's name for a directory. The destination is a path in it.
	Module string
	// User and PasswordFile are for modules that ask for them; empty for others. The file holds the password in its
	// first line. rsync wants that it can't be read by everybody, and that it is root's if root runs rsync.
	User         string
	PasswordFile string
}

// SSH is a machine on which rsync is started over ssh(1). The destination is an absolute path on it.
type SSH struct {
	// Host is a name or an address.
	Host string
	// Port 0 means ssh's own, 22.
	Port int
	// User is who logs in.
	User string
	// KeyFile holds the private key, without a passphrase.
	KeyFile string
	// KnownHostsFile holds the server's public key, as ssh-keyscan(1) prints it. A server that it doesn't know, or
	// knows with another key, is refused.
	KnownHostsFile string
}

var (
	hostName   = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$`)
	userName   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]*$`)
	moduleName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	// plainPath has nothing that rsync, ssh or a shell on the way might take for more than a character of a name.
	plainPath = regexp.MustCompile(`^/[A-Za-z0-9_./+@=,-]*$`)
)

func (d Daemon) check(destination string) error {
	if err := checkAddress(d.Host, d.Port); err != nil {
		return err
	}
	switch {
	case !moduleName.MatchString(d.Module):
		return fmt.Errorf("rsync: %q is not the name of a daemon's module", d.Module)
	case d.User != "" && !userName.MatchString(d.User):
		return fmt.Errorf("rsync: %q is not a user's name", d.User)
	case (d.User == "") != (d.PasswordFile == ""):
		return fmt.Errorf("rsync: a user %q and a password file %q: both are needed, or neither", d.User, d.PasswordFile)
	}
	return checkPaths("/"+strings.TrimPrefix(destination, "/"), d.PasswordFile)
}

func (d Daemon) target(destination string) string {
	user, port := "", ""
	if d.User != "" {
		user = d.User + "@"
	}
	if d.Port != 0 {
		port = ":" + strconv.Itoa(d.Port)
	}
	return "rsync://" + user + bracketed(d.Host) + port + directory(path.Join("/", d.Module, destination))
}

func (d Daemon) arguments() []string {
	args := []string{"--contimeout=" + strconv.Itoa(connectSeconds)}
	if d.PasswordFile != "" {
		args = append(args, "--password-file="+d.PasswordFile)
	}
	return args
}

func (d Daemon) needs() []string {
	if d.PasswordFile == "" {
		return nil
	}
	return []string{d.PasswordFile}
}

func (s SSH) check(destination string) error {
	if err := checkAddress(s.Host, s.Port); err != nil {
		return err
	}
	if !userName.MatchString(s.User) {
		return fmt.Errorf("rsync: %q is not a user's name", s.User)
	}
	if destination == "" || s.KeyFile == "" || s.KnownHostsFile == "" {
		return fmt.Errorf("rsync: ssh to %s needs a destination, a key file and a known_hosts file", s.Host)
	}
	return checkPaths(destination, s.KeyFile, s.KnownHostsFile)
}

func (s SSH) target(destination string) string {
	return s.User + "@" + bracketed(s.Host) + ":" + directory(destination)
}

// arguments give ssh all that it needs, so that nobody's settings, agent or known hosts matter, and nobody is asked.
func (s SSH) arguments() []string {
	ssh := []string{"ssh", "-F", "none"}
	if s.Port != 0 {
		ssh = append(ssh, "-p", strconv.Itoa(s.Port))
	}
	for _, option := range []string{
		"BatchMode=yes",
		"StrictHostKeyChecking=yes", "UserKnownHostsFile=" + s.KnownHostsFile, "GlobalKnownHostsFile=/dev/null",
		"UpdateHostKeys=no",
		"PreferredAuthentications=publickey", "IdentityFile=" + s.KeyFile, "IdentitiesOnly=yes", "IdentityAgent=none",
		"ClearAllForwardings=yes",
		"ConnectTimeout=" + strconv.Itoa(connectSeconds), "ServerAliveInterval=15", "ServerAliveCountMax=4",
		"LogLevel=ERROR",
	} {
		ssh = append(ssh, "-o", option)
	}
	return []string{"--rsh=" + strings.Join(ssh, " ")}
}

func (s SSH) needs() []string { return []string{s.KeyFile, s.KnownHostsFile} }

// checkServer returns an error for what the server's check refuses, and for a file that is needed and can't be read.
func checkServer(s Server, destination string) error {
	if err := s.check(destination); err != nil {
		return err
	}
	return readable(s.needs())
}

func checkAddress(host string, port int) error {
	if _, err := netip.ParseAddr(host); err != nil && !hostName.MatchString(host) {
		return fmt.Errorf("rsync: %q is not the name or the address of a host", host)
	}
	if port < 0 || port > 65535 {
		return fmt.Errorf("rsync: %d is not a port", port)
	}
	return nil
}

// checkPaths returns an error for a path that isn't plain. Empty ones are passed over.
func checkPaths(paths ...string) error {
	for _, p := range paths {
		if p != "" && (!plainPath.MatchString(p) || path.Clean(p) != strings.TrimSuffix(p, "/") && p != "/") {
			return fmt.Errorf("rsync: the path %q: towards a server, paths must be absolute, without \"..\", and of the "+
				"letters A to Z, digits and ._/+@=,- alone", p)
		}
	}
	return nil
}

// bracketed is an address of IPv6 in brackets, which keep its colons apart from what follows.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// readable returns an error for a file that can't be read. ssh would say that the server is unknown, or the key wrong.
func readable(files []string) error {
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("rsync: a file that says how to log in to the server can't be read: %w", err)
		}
		f.Close()
	}
	return nil
}
