// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"strings"
	"testing"
	"time"
)

func TestNamesRoundTrip(t *testing.T) {
	moment := time.Date(2026, 11, 22, 5, 0, 0, 0, time.FixedZone("", -3*3600))
	for _, prefix := range []string{"app", "app-2", "a", "My_App.v2", "app-20261122T050000Z"} {
		file := Name{Prefix: prefix, Time: moment}.String()
		if want := prefix + "-20261122T080000Z.tar.zst"; file != want {
			t.Errorf("got %s, want %s", file, want)
		}
		name, ok := ParseName(file)
		if !ok || name.Prefix != prefix || !name.Time.Equal(moment) {
			t.Errorf("ParseName(%q) = %+v, %t", file, name, ok)
		}
	}
}

func TestParseNameRefusesOtherNames(t *testing.T) {
	for _, file := range []string{
		"", "app", "app.tar.zst", "-20261122T050000Z.tar.zst", "20261122T050000Z.tar.zst", "app20261122T050000Z.tar.zst",
		"app-20261122T050000.tar.zst", "app-20261322T050000Z.tar.zst", "app-20261122T250000Z.tar.zst",
		"app-20261122T050000Z.tar.gz", "app-20261122T050000Z.tar.zst.sha256", ".app-20261122T050000Z.tar.zst.partial",
		"app-20261122t050000z.tar.zst", "app-20261122T050000Z.tar.zst ", "-app-20261122T050000Z.tar.zst",
		"app--20261122T050000Z.tar.zst", "äpp-20261122T050000Z.tar.zst", "app-+0261122T050000Z.tar.zst",
	} {
		if name, ok := ParseName(file); ok {
			t.Errorf("ParseName(%q) took it for %+v", file, name)
		}
	}
}

func TestCheckPrefix(t *testing.T) {
	for _, prefix := range []string{"", ".app", "-app", "app-", "app.", "a/b", "a b", "ä", "a\nb", strings.Repeat("a", 129)} {
		if CheckPrefix(prefix) == nil {
			t.Errorf("the prefix %q was accepted", prefix)
		}
	}
	for _, prefix := range []string{"a", "app", "app-2", "App_1.2", strings.Repeat("a", 128)} {
		if err := CheckPrefix(prefix); err != nil {
			t.Errorf("the prefix %q: %v", prefix, err)
		}
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("app-20261122T050000Z.tar.zst")
	f.Add("app-2-20261122T050000Z.tar.zst")
	f.Fuzz(func(t *testing.T, file string) {
		if name, ok := ParseName(file); ok && name.String() != file {
			t.Errorf("%q was taken for %q", file, name)
		}
	})
}
