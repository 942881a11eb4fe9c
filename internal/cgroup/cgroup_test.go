// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"strings"
	"testing"
	"testing/fstest"
)

// Lines of mountinfo.
const (
	disk     = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
	unified  = "29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	cpu      = "31 22 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
	memory   = "36 22 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	hybrid   = "37 22 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	inside   = "36 22 0:33 /pods/a /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
	strange  = "36 22 0:33 / /sys/fs/my\\040groups\\134 rw - cgroup cgroup rw,memory\n"
	noFields = "36 22\n"
)

func TestMemoryLimit(t *testing.T) {
	const gib = 1 << 30
	for name, c := range map[string]struct {
		groups, mounts string
		files          map[string]string // below /sys/fs
		want           int64
	}{
		"second version": {"0::/\n", disk + unified, map[string]string{"cgroup/memory.max": "1073741824\n"}, gib},
		"no limit": {
			"0::/a\n", disk + unified, map[string]string{"cgroup/a/memory.max": "max\n", "cgroup/a/memory.high": "max\n"}, NoLimit,
		},
		"slowed down before it is killed": {
			"0::/a\n", unified, map[string]string{"cgroup/a/memory.max": "2147483648\n", "cgroup/a/memory.high": "1073741824\n"}, gib,
		},
		"nested, the outer one is lower": {"0::/pods/a\n", unified, map[string]string{
			"cgroup/pods/a/memory.max": "2147483648\n", "cgroup/pods/memory.max": "1073741824\n",
		}, gib},
		"nested, the inner one is lower": {"0::/pods/a\n", unified, map[string]string{
			"cgroup/pods/a/memory.max": "1073741824\n", "cgroup/pods/memory.max": "2147483648\n",
		}, gib},
		"a neighbour's": {
			"0::/pods/a\n", unified, map[string]string{"cgroup/pods/b/memory.max": "4096\n", "cgroup/pods/a/memory.max": "max\n"}, NoLimit,
		},
		"the root has no files": {"0::/\n", unified, nil, NoLimit},
		"first version": {
			"4:memory:/a\n1:cpu,cpuacct:/b\n", disk + cpu + memory,
			map[string]string{"cgroup/memory/a/memory.limit_in_bytes": "1073741824\n"}, gib,
		},
		"first version without a limit": {
			"4:memory:/a\n", memory, map[string]string{"cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, NoLimit,
		},
		"first version, nested": {"4:memory:/a/b\n", memory, map[string]string{
			"cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n", "cgroup/memory/a/memory.limit_in_bytes": "1073741824\n",
		}, gib},
		"both versions, memory is in the first": {"4:memory:/a\n0::/\n", hybrid + memory, map[string]string{
			"cgroup/memory/a/memory.limit_in_bytes": "1073741824\n", "cgroup/unified/memory.max": "4096\n",
		}, gib},
		"both versions, memory is in the second": {"1:cpu,cpuacct:/b\n0::/a\n", cpu + hybrid, map[string]string{
			"cgroup/unified/a/memory.max": "1073741824\n",
		}, gib},
		"a container that sees its part only": {
			"4:memory:/pods/a\n", inside, map[string]string{"cgroup/memory/memory.limit_in_bytes": "1073741824\n"}, gib,
		},
		"below what the container sees": {
			"4:memory:/pods/a/b\n", inside, map[string]string{"cgroup/memory/b/memory.limit_in_bytes": "1073741824\n"}, gib,
		},
		"outside of what the container sees": {
			"4:memory:/pods/ab\n", inside, map[string]string{"cgroup/memory/memory.limit_in_bytes": "4096\n"}, NoLimit,
		},
		"above the namespace": {"0::/../b\n", unified, map[string]string{"b/memory.max": "4096\n"}, NoLimit},
		"blanks and backslashes": {
			"4:memory:/\n", strange, map[string]string{"my groups\\/memory.limit_in_bytes": "1073741824\n"}, gib,
		},
		"colons":        {"0::/a:b\n", unified, map[string]string{"cgroup/a:b/memory.max": "1073741824\n"}, gib},
		"not mounted":   {"0::/a\n", disk, nil, NoLimit},
		"no cgroups":    {"", disk, nil, NoLimit},
		"broken mounts": {"0::/a\n", noFields + unified, map[string]string{"cgroup/a/memory.max": "1073741824\n"}, gib},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := MemoryLimit(machine(c.groups, c.mounts, c.files))
			if err != nil || got != c.want {
				t.Errorf("%d, want %d; error %v", got, c.want, err)
			}
		})
	}
}

// machine is a root directory.
func machine(groups, mounts string, files map[string]string) fstest.MapFS {
	m := fstest.MapFS{
		"proc/self/cgroup": {Data: []byte(groups)}, "proc/self/mountinfo": {Data: []byte(mounts)},
	}
	for name, content := range files {
		m["sys/fs/"+name] = &fstest.MapFile{Data: []byte(content)}
	}
	return m
}

func TestMemoryLimitFails(t *testing.T) {
	_, err := MemoryLimit(machine("0::/a\n", unified, map[string]string{"cgroup/a/memory.max": "plenty\n"}))
	if err == nil || !strings.Contains(err.Error(), `/sys/fs/cgroup/a/memory.max`) || !strings.Contains(err.Error(), "plenty") {
		t.Errorf("error %v names neither the file nor what is in it", err)
	}
	if _, err := MemoryLimit(fstest.MapFS{}); err == nil {
		t.Error("no error without /proc")
	}
}

func TestGoMemory(t *testing.T) {
	const mib = 1 << 20
	for limit, want := range map[int64]int64{
		NoLimit: NoLimit, 1024 * mib: 896 * mib, 128 * mib: 112 * mib, 100 * mib: 84 * mib, 64 * mib: 48 * mib, 32 * mib: 24 * mib, 0: 0,
	} {
		if got := GoMemory(limit); got != want {
			t.Errorf("of %d MiB: %d MiB, want %d", limit/mib, got/mib, want/mib)
		}
	}
}

func TestWorkers(t *testing.T) {
	for _, c := range []struct {
		memory int64
		most   int
		want   int
	}{{NoLimit, 8, 8}, {100, 8, 8}, {99, 8, 7}, {30, 8, 1}, {29, 8, 1}, {0, 8, 1}, {100, 1, 1}} {
		if got := Workers(c.memory, 20, 10, c.most); got != c.want {
			t.Errorf("in %d at most %d: %d, want %d", c.memory, c.most, got, c.want)
		}
	}
}
