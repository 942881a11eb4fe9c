// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package cgroup finds out how much memory the kernel lets this process have, and how much work fits into it.
//
// Processors are not its business: Go's runtime knows the quota of a cgroup, and sets GOMAXPROCS by it.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// NoLimit is the memory of a process that may have all there is.
const NoLimit = math.MaxInt64

// MemoryLimit returns how many bytes of memory the processes of this process's cgroup may have together, NoLimit if
// nothing limits them. root is the root directory of the machine, os.DirFS("/"). Of cgroups around this one, those count
// that can be seen.
func MemoryLimit(root fs.FS) (int64, error) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, fmt.Errorf("find the cgroup: %w", err)
	}
	mounts, err := fs.ReadFile(root, "proc/self/mountinfo")
	if err != nil {
		return 0, fmt.Errorf("find the cgroup: %w", err)
	}
	m, ok := memoryController(string(groups))
	if !ok {
		return NoLimit, nil
	}
	top, dir, ok := m.locate(string(mounts))
	if !ok {
		return NoLimit, nil
	}
	return lowest(root, top, dir, m.files())
}

// controller is where this process is in a hierarchy of cgroups.
type controller struct {
	v2   bool
	path string // of the cgroup, from the hierarchy's root on
}

// files are those of a cgroup that hold limits.
func (c controller) files() []string {
	if c.v2 {
		// The first slows a process down that has too much, the second kills it.
		return []string{"memory.high", "memory.max"}
	}
	return []string{"memory.limit_in_bytes"}
}

// memoryController finds the hierarchy that accounts memory in /proc/self/cgroup, which has lines such as
// "4:memory:/pod/container" for the first version, and one for the second: "0::/pod/container". A controller is in one
// hierarchy only; if there is one of the first version, that is it.
func memoryController(groups string) (controller, bool) {
	var found controller
	ok := false
	for line := range strings.Lines(groups) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		switch {
		case len(fields) != 3:
		case fields[0] == "0" && fields[1] == "":
			found, ok = controller{v2: true, path: fields[2]}, true
		case has(fields[1], "memory"):
			return controller{path: fields[2]}, true
		}
	}
	return found, ok
}

func has(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// locate finds the directory of the cgroup, and that of the topmost one that can be seen, in /proc/self/mountinfo. Both
// are relative to the machine's root directory. A container may see a part of the hierarchy only, mounted as if it were
// all.
func (c controller) locate(mounts string) (top, dir string, ok bool) {
	for line := range strings.Lines(mounts) {
		before, after, found := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		mount, source := strings.Fields(before), strings.Fields(after)
		if !found || len(mount) < 5 || len(source) < 3 {
			continue
		}
		isMemory := source[0] == "cgroup" && has(source[2], "memory")
		if c.v2 {
			isMemory = source[0] == "cgroup2"
		}
		seen, point := unescape(mount[3]), unescape(mount[4])
		below, inside := strings.CutPrefix(c.path, strings.TrimSuffix(seen, "/"))
		if !isMemory || !inside || below != "" && below[0] != '/' || strings.HasPrefix(below, "/..") {
			continue
		}
		top = strings.TrimPrefix(point, "/")
		return top, path.Join(top, below), true
	}
	return "", "", false
}

// unescape undoes what mountinfo does to paths: blanks and the like are octal numbers, as in \040.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// lowest is the lowest limit in the files of a directory and of those above it, up to top.
func lowest(root fs.FS, top, dir string, files []string) (int64, error) {
	limit := int64(NoLimit)
	for {
		for _, file := range files {
			content, err := fs.ReadFile(root, path.Join(dir, file))
			if errors.Is(err, fs.ErrNotExist) {
				continue // the root of the hierarchy has none
			}
			if err != nil {
				return 0, fmt.Errorf("find the memory limit: %w", err)
			}
			value, err := parse(string(content))
			if err != nil {
				return 0, fmt.Errorf("find the memory limit: %s: %w", path.Join("/", dir, file), err)
			}
			limit = min(limit, value)
		}
		if dir == top || dir == "." {
			return limit, nil
		}
		dir = path.Dir(dir)
	}
}

// parse reads a limit. Without one, the second version says "max", and the first the highest number of whole pages.
func parse(content string) (int64, error) {
	content = strings.TrimSpace(content)
	if content == "max" {
		return NoLimit, nil
	}
	n, err := strconv.ParseInt(content, 10, 64)
	if err != nil {
		return 0, err
	}
	if n >= math.MaxInt64-64<<10 { // pages have up to 64 KiB
		return NoLimit, nil
	}
	return n, nil
}
