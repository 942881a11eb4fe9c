// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/catalog"
)

func TestLatestIsTheCompleteBackupMadeLast(t *testing.T) {
	day := func(year, day int, state catalog.State) catalog.Backup {
		name := catalog.Name{Prefix: "app", Time: time.Date(year, 11, day, 5, 0, 0, 0, time.UTC)}
		return catalog.Backup{File: name.String(), Name: name, State: state, Ahead: year > 2026}
	}
	after := func(sequence int64, b catalog.Backup) catalog.Backup {
		b.Header.Sequence = sequence
		return b
	}
	for _, test := range []struct {
		name    string
		backups []catalog.Backup // In the order of catalog.List.
		damaged string
		want    string
		noted   []string
	}{
		{"the first one", []catalog.Backup{day(2026, 3, catalog.Complete), day(2026, 2, catalog.Complete)}, "", "app-20261103T050000Z.tar.zst",
			[]string{"Using app-20261103T050000Z.tar.zst, the complete backup that was made last."}},
		{"one in the future, made earlier",
			[]catalog.Backup{after(6, day(2026, 3, catalog.Complete)), after(5, day(2031, 2, catalog.Complete))}, "",
			"app-20261103T050000Z.tar.zst", []string{
				"Passed over app-20311102T050000Z.tar.zst: it was made earlier, although the time in its name is later.",
				"Using app-20261103T050000Z.tar.zst,",
			}},
		{"one in the future, of an older version", []catalog.Backup{day(2026, 3, catalog.Complete), day(2031, 2, catalog.Complete)}, "",
			"app-20261103T050000Z.tar.zst", []string{
				"Passed over app-20311102T050000Z.tar.zst: the time in its name is in the future, and nothing else says when it was made.",
				"Using app-20261103T050000Z.tar.zst,",
			}},
		{"one in the future, made last", []catalog.Backup{after(6, day(2031, 3, catalog.Complete)), after(5, day(2026, 2, catalog.Complete))}, "",
			"app-20311103T050000Z.tar.zst", []string{
				"Using app-20311103T050000Z.tar.zst,", "Its name is a time in the future: the clock was wrong when it was made, or is wrong now.",
			}},
		{"damaged and incomplete ones", []catalog.Backup{
			day(2026, 5, catalog.Damaged), day(2026, 4, catalog.Complete), day(2026, 3, catalog.Incomplete), day(2026, 2, catalog.Complete),
		}, "app-20261104T050000Z.tar.zst", "app-20261102T050000Z.tar.zst", []string{
			"Passed over app-20261105T050000Z.tar.zst: it is damaged.", "Passed over app-20261104T050000Z.tar.zst: it is damaged.",
			"Passed over app-20261103T050000Z.tar.zst: it is incomplete.", "Using app-20261102T050000Z.tar.zst,",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var note bytes.Buffer
			got, err := newest(test.backups, func(b catalog.Backup) catalog.Backup {
				if b.File == test.damaged {
					b.State = catalog.Damaged
				}
				return b
			}, &note)
			if err != nil || got.File != test.want {
				t.Errorf("%s, %v; want %s", got.File, err, test.want)
			}
			lines := strings.Split(strings.TrimSpace(note.String()), "\n")
			if len(lines) != len(test.noted) {
				t.Fatalf("noted %q", lines)
			}
			for i, want := range test.noted {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("noted %q, want %q", lines[i], want)
				}
			}
		})
	}
}
