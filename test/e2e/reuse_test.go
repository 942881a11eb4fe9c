// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
)

// TestASecondBackupCostsWhatChanged: each backup is complete, yet the second takes over what the first one has, and the
// status says so.
func TestASecondBackupCostsWhatChanged(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	for i := range 20 {
		recording := make([]byte, 1<<20)
		if _, err := rand.Read(recording); err != nil {
			t.Fatal(err)
		}
		a.write(string(recording), "sessions", fmt.Sprintf("recorded-%d.rec", i))
	}
	p := a.apply("appliance", nil)
	first := p.mustRun()
	if first.BytesReused == nil || *first.BytesReused != 0 || first.ReusedFrom != "" || *first.BytesNew < 20<<20 {
		t.Errorf("the first run: %+v", first)
	}
	a.write("changed\n", "data", "accounts.db")
	a.write("another recording", "sessions", "recorded-20.rec")

	second := p.mustRun()
	if second.ReusedFrom != first.Archive || second.ReuseMethod == "" || *second.BytesReused < 19<<20 || *second.BytesNew > 3<<20 {
		t.Errorf("the second run took %d bytes from %q by %q, and made %d: %s",
			*second.BytesReused, second.ReusedFrom, second.ReuseMethod, *second.BytesNew, second.Message)
	}
	if !strings.Contains(second.Message, "reused from "+first.Archive) {
		t.Errorf("the message doesn't tell: %s", second.Message)
	}
	names := archivesIn(t, a.path("backups", "daily"), "appliance")
	wantSame(t, "the backup directory", []string{first.Archive, second.Archive}, names)

	// It is complete without the first one.
	command(t, "rm", a.path("backups", "daily", first.Archive))
	restored := restore(t, a.path("backups", "daily", second.Archive))
	for _, volume := range []string{"data", "logs", "config", "sessions"} {
		treetest.AssertEqual(t, a.path(volume), filepath.Join(restored, volume))
	}
	wantSame(t, "the mirror", names, archivesIn(t, a.path("remote", "mirror"), "appliance"))

	table := strings.Split(kubectl(t, "-n", a.namespace, "get", "bp", "-o", "wide"), "\n")
	if !strings.Contains(table[0], "NEW BYTES") || !slices.Contains(strings.Fields(table[1]), fmt.Sprint(*second.BytesNew)) {
		t.Errorf("kubectl get -o wide doesn't tell of %d new bytes:\n%s", *second.BytesNew, strings.Join(table, "\n"))
	}
}
