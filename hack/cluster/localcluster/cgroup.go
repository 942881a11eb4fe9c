// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const cgroupMount = "/sys/fs/cgroup"

// cgroup is the path, in every cgroup hierarchy, that holds a node's pods.
func (c Cluster) cgroup(n Node) string { return filepath.Join(clusterCgroup(c.Name), n.Name) }

func clusterCgroup(name string) string { return filepath.Join("/backup-operator", name) }

// hierarchies are the mount points of the machine's cgroup hierarchies: one
// with cgroup v2, one for each controller with v1.
func hierarchies() []string {
	if _, err := os.Stat(filepath.Join(cgroupMount, "cgroup.controllers")); err == nil {
		return []string{cgroupMount}
	}
	entries, err := os.ReadDir(cgroupMount)
	if err != nil {
		return nil
	}
	var mounts []string
	for _, entry := range entries {
		if entry.IsDir() { // a symbolic link is another name of one of them
			mounts = append(mounts, filepath.Join(cgroupMount, entry.Name()))
		}
	}
	return mounts
}

// makeCgroups makes a cgroup in every hierarchy: the kubelet wants the parent
// of its pods' cgroups to exist.
func makeCgroups(path string) error {
	for _, mount := range hierarchies() {
		directory := mount
		for _, element := range strings.Split(strings.Trim(path, "/"), "/") {
			if err := passControllersDown(directory); err != nil {
				return err
			}
			parent := directory
			directory = filepath.Join(directory, element)
			if err := os.Mkdir(directory, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			if err := inheritCPUSet(parent, directory); err != nil {
				return err
			}
		}
	}
	return nil
}

// passControllersDown lets the children of a v2 cgroup use all its controllers.
func passControllersDown(directory string) error {
	controllers, err := os.ReadFile(filepath.Join(directory, "cgroup.controllers"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // cgroup v1
	}
	if err != nil {
		return err
	}
	for _, controller := range strings.Fields(string(controllers)) {
		// Best effort: the kubelet names the controllers that it misses.
		_ = os.WriteFile(filepath.Join(directory, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
	}
	return nil
}

// inheritCPUSet gives a new cpuset cgroup its parent's processors and memory
// nodes: with v1 it has none at first, and can run nothing.
func inheritCPUSet(parent, child string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		current, err := os.ReadFile(filepath.Join(child, file))
		if errors.Is(err, fs.ErrNotExist) || strings.TrimSpace(string(current)) != "" {
			continue
		}
		inherited, err := os.ReadFile(filepath.Join(parent, file))
		if err != nil || strings.TrimSpace(string(inherited)) == "" {
			continue // cgroup v2: empty means the parent's
		}
		if err := os.WriteFile(filepath.Join(child, file), inherited, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// removeCgroups removes a cluster's cgroups. Their processes have ended, but the
// kernel may need a moment to notice.
func removeCgroups(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, mount := range hierarchies() {
		root := filepath.Join(mount, clusterCgroup(name))
		if err := poll(ctx, "the end of cgroup "+root, func() error { return removeCgroupTree(root) }); err != nil {
			return err
		}
		// The common parent goes with the last cluster.
		_ = os.Remove(filepath.Dir(root))
	}
	return nil
}

func removeCgroupTree(root string) error {
	var directories []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			directories = append(directories, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	slices.Reverse(directories)
	for _, directory := range directories {
		if removeErr := os.Remove(directory); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}
