// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"strings"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/treetest"
)

// TestDirectoriesThatTheirOwnerMayNotUse are restored by somebody who owns them then, and stand the second time.
func TestDirectoriesThatTheirOwnerMayNotUse(t *testing.T) {
	if !isRoot {
		t.Skip("takes root to become somebody else, and to look at what came out")
	}
	old := time.Unix(1_400_000_000, 5)
	b := backedUp(t, dir{Meta: meta{Mode: 0o755}, Entries: entries{
		"closed": dir{Meta: meta{Mode: 0o005, ModTime: old}, Entries: entries{
			"f": file{Content: "f"}, "sub": dir{Meta: meta{ModTime: old}, Entries: entries{"g": file{Content: "g"}}},
		}},
		"drop": dir{Meta: meta{Mode: 0o311, ModTime: old}, Entries: entries{"f": file{Content: "f"}}},
	}})
	archivePath, target := forAnotherUser(t, b)
	for _, kept := range []string{"Kept:0", "Kept:3"} {
		out := runAs(t, 65534, "RESTORE_TEST_ARCHIVE="+archivePath, "RESTORE_TEST_TARGET="+target)
		if !strings.Contains(out, kept) || !strings.Contains(out, "Failed:0 Partial:0") {
			t.Errorf("not %s:\n%s", kept, out)
		}
		got, err := treetest.Take(target)
		if err != nil {
			t.Fatal(err)
		}
		for path, mode := range map[string]string{"closed": "0005", "drop": "0311", "closed/sub": "0755"} {
			if g := got[path]; g.Mode != mode || g.ModTime != "1400000000.000000005" {
				t.Errorf("%s is %+v", path, g)
			}
		}
	}
}
