// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	for file, content := range map[string]string{
		".app.policy": "", ".old.policy": own, ".older.policy": own, ".empty.policy": own, ".other.policy": "other/policy",
		"app-20261101T050000Z.tar.zst": "", "old-20261101T050000Z.tar.zst": "", "old-20261102T050000Z.tar.zst": "",
		"old-20261102T050000Z.tar.zst.sha256": "", "older-20261101T050000Z.tar.zst": "", "other-20261101T050000Z.tar.zst": "",
		"nobodys-20261101T050000Z.tar.zst": "", "notes": "",
	} {
		if filepath.Ext(file) == ".policy" {
			content = `{"policy":"` + content + `"}`
		}
		put(t, filepath.Join(dir, file), content)
	}
	got, err := Leftovers(dir, "app", own)
	if diff := cmp.Diff([]Leftover{{"old", 2}, {"older", 1}}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if _, err := Leftovers(filepath.Join(dir, "nowhere"), "app", own); err == nil || errors.Unwrap(err) == nil {
		t.Errorf("a directory that isn't there: %v", err)
	}
}
