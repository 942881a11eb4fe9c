// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The sources are walked through once more to be measured, unless there is room for all that they can hold. A first run is
// measured always, or nobody would know how long it takes.
func TestSourcesAreMeasuredUnlessThereIsRoomForAll(t *testing.T) {
	b := newBench(t)
	for _, s := range b.config.Sources {
		mountSmall(t, s.Path)
		b.put(filepath.Join(s.Path, "file"), "content of "+s.Name)
	}
	for _, run := range []struct {
		name     string
		prepare  func()
		measures bool
	}{
		{"the first run", func() {}, true},
		{"a second one, with room for all", func() {}, false},
		{"a backup directory with less room than the sources can hold", func() {
			mountSmall(t, b.config.Directory)
			b.want("Succeeded", "", 0) // Fills it with an archive to reuse.
			b.put(filepath.Join(b.config.Sources[0].Path, "zeros"), strings.Repeat("\x00", smallMount*3/4))
		}, true},
	} {
		run.prepare()
		if log := b.logOfRun(); strings.Contains(log, "measuring the sources") != run.measures {
			t.Errorf("%s: want measuring %v, and it said\n%s", run.name, run.measures, log)
		}
	}
}

// logOfRun does a run that must succeed, and returns what it logged.
func (b *bench) logOfRun() string {
	b.t.Helper()
	var log bytes.Buffer
	b.now = b.now.AddDate(0, 0, 1)
	environment := Environment{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return b.now }}
	if r, exit := Run(context.Background(), b.config, environment); exit != 0 {
		b.t.Fatalf("exit status %d: %s", exit, r.Message)
	}
	return log.String()
}

const smallMount = 8 << 20

// mountSmall mounts a small file system in memory.
func mountSmall(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatalf("mount: %v (the tests run as root)", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
}
