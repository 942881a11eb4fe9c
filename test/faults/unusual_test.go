// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/report"
)

// TestAVolumeThatIsNotMountedAnyMoreIsReported, whether it is mounted inside a source or is the source, and though there
// are new files elsewhere. The backups that hold its files stay.
func TestAVolumeThatIsNotMountedAnyMoreIsReported(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, inside := range []string{"", "recordings"} {
		t.Run("at "+filepath.Join("data", inside), func(t *testing.T) {
			b := newBench(t)
			b.keep = 2
			volume := filepath.Join(b.source, inside)
			b.mount(volume, 16*mib)
			write := func(dir, name string) {
				t.Helper()
				b.must(os.WriteFile(filepath.Join(dir, name), []byte("content of "+name), 0o600))
			}
			for _, name := range []string{"one", "two", "three", "four"} {
				write(volume, name)
			}
			first := b.run(0)
			before := b.run(0)
			if len(first.Findings)+len(before.Findings) > 0 {
				t.Fatalf("found %+v, %+v", first.Findings, before.Findings)
			}
			b.unmount(volume)
			write(volume, "placeholder")
			if inside != "" {
				write(b.source, "new")
			}
			r := b.run(0)
			if len(r.Findings) != 1 || r.Findings[0].Reason != report.FindingFileSystemMissing ||
				!strings.Contains(r.Findings[0].Message, "mounted at "+filepath.Join("data", inside)+" any more: it held 4 files") {
				t.Errorf("found %+v", r.Findings)
			}
			if here, there := b.good(b.backups), b.good(b.mirror); len(here) != 3 || len(there) != 3 {
				t.Errorf("backups %v, mirror %v: complete ones were removed", here, there)
			}
			b.extra = []string{"--accept-change", r.Archive.Name}
			if r = b.run(0); len(r.Findings) > 0 {
				t.Errorf("found %+v, and it was accepted", r.Findings)
			}
			if here, there := b.good(b.backups), b.good(b.mirror); len(here) != 2 || len(there) != 2 {
				t.Errorf("backups %v, mirror %v: the change was accepted, and nothing was removed", here, there)
			}
		})
	}
}
