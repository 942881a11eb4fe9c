// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// share is an SMB share, with all that is needed to mount it.
type share struct {
	source  string
	options []string
	login   login
}

// mountCommand is the call of mount.cifs(8). The password goes by the
// environment: arguments can be read by every user of the machine.
func (s share) mountCommand(target string) (args, environment []string) {
	options := slices.Clone(s.options)
	if s.login.username != "" {
		options = append(options, "username="+s.login.username)
		environment = append(environment, "PASSWD="+s.login.password)
	}
	if s.login.domain != "" {
		options = append(options, "domain="+s.login.domain)
	}
	args = []string{"mount", "-t", "cifs"}
	if len(options) > 0 {
		args = append(args, "-o", strings.Join(options, ","))
	}
	return append(args, s.source, target), environment
}

// system mounts with the machine's own mount(8).
type system struct{}

func (system) mount(ctx context.Context, s share, target string) error {
	if err := os.MkdirAll(target, 0o750); err != nil {
		return err
	}
	if mounted, err := isMount(target); mounted || err != nil {
		return err
	}
	args, environment := s.mountCommand(target)
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Env = append(os.Environ(), environment...)
	if output, err := command.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("mounting %s: %w: %s", s.source, err, output), os.Remove(target))
	}
	return nil
}

func (system) unmount(ctx context.Context, target string) error {
	mounted, err := isMount(target)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if mounted {
		if output, err := exec.CommandContext(ctx, "umount", target).CombinedOutput(); err != nil {
			return fmt.Errorf("unmounting %s: %w: %s", target, err, output)
		}
	}
	return os.Remove(target)
}

// isMount tells whether something is mounted at a directory.
func isMount(path string) (bool, error) {
	var status unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, 0, &status); err != nil {
		return false, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	return status.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}
