// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOwner(t *testing.T) {
	dir := t.TempDir()
	if err := CheckOwner(dir, "app", own); err != nil {
		t.Errorf("nobody's yet: %v", err)
	}
	for range 2 {
		if err := ClaimOwner(dir, "app", own); err != nil {
			t.Fatal(err)
		}
	}
	if content, _ := os.ReadFile(filepath.Join(dir, ".app.policy")); string(content) != `{"policy":"orbit/appliance"}`+"\n" {
		t.Errorf("the owner file holds %q", content)
	}
	if err := errors.Join(CheckOwner(dir, "app", own), ClaimOwner(dir, "app-2", "other/policy")); err != nil {
		t.Error(err)
	}
	for _, try := range []func(string, string, string) error{CheckOwner, ClaimOwner} {
		var owned *OwnedError
		if err := try(dir, "app", "other/policy"); !errors.As(err, &owned) || owned.Owner != own {
			t.Fatalf("another policy: %v", err)
		}
		for _, part := range []string{own, filepath.Join(dir, ".app.policy"), "another filename prefix"} {
			if !strings.Contains(owned.Error(), part) {
				t.Errorf("%q doesn't say %q", owned, part)
			}
		}
	}
	if err := CheckOwner(filepath.Join(dir, "nowhere"), "app", own); err != nil {
		t.Errorf("a directory that isn't there yet: %v", err)
	}
}

func TestAnOwnerFileThatSaysNothingIsRefused(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "no JSON": "me", "no policy": "{}"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, ".app.policy")
			put(t, path, content)
			if err := ClaimOwner(dir, "app", own); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("ClaimOwner = %v", err)
			}
			if now, _ := os.ReadFile(path); string(now) != content {
				t.Errorf("it now holds %q", now)
			}
		})
	}
}
