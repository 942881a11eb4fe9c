// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func full() Report {
	return Report{
		Version: Version, Policy: "orbit/appliance", Run: "appliance-backup-29387520",
		StartTime:      time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC),
		CompletionTime: time.Date(2026, 11, 22, 5, 1, 2, 0, time.UTC),
		Outcome:        Incomplete, Reason: ReasonFilesUnreadable, Message: "2 files could not be read",
		Archive: &Archive{Name: "appliance-20261122T050000Z.tar.zst", BytesRead: 10, BytesWritten: 4, Files: 3, Reuse: &Reuse{
			Previous: "appliance-20261121T050000Z.tar.zst", Method: ReuseReflink, ReusedBytes: 3, SharedBytes: 2, NewBytes: 1,
			VerifiedBytes: 1, DamagedFrames: 1,
		}},
		Warnings: &Warnings{Count: 2, First: []string{"data/a: permission denied", "data/b: permission denied"}},
		Findings: []Finding{{Reason: FindingArchiveDamaged, Message: "appliance-20261121T050000Z.tar.zst is damaged"}},
		Sync:     &Sync{OK: true, BytesSent: 4, Backups: 7},
		Backups:  &Backups{Count: 1, Bytes: 4, Newest: []Backup{{Name: "appliance-20261122T050000Z.tar.zst", Bytes: 4}}},
		Storage:  &Space{Free: 1, Total: 2},
	}
}

func TestWhatIsEncodedIsDecoded(t *testing.T) {
	want := full()
	b, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(string(b))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEncodeAlwaysFits(t *testing.T) {
	r := full()
	// Control characters are what JSON blows up most: six bytes each.
	r.Message = strings.Repeat("\x01", 5000)
	r.Sync.Message = strings.Repeat("\x02", 5000)
	for i := range 1000 {
		r.Warnings.First = append(r.Warnings.First, strings.Repeat("é", 4000))
		r.Backups.Newest = append(r.Backups.Newest, Backup{Name: fmt.Sprintf("appliance-%d", i), Bytes: 1 << 60})
		r.Findings = append(r.Findings, Finding{FindingArchiveDamaged, strings.Repeat("\x03", 4000)})
	}
	b, err := Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > MaxBytes {
		t.Fatalf("%d bytes, more than the kubelet takes", len(b))
	}
	got, err := Decode(string(b))
	if err != nil {
		t.Fatal(err)
	}
	if got.Warnings.Count != 2 || got.Backups.Count != 1 || got.Archive.Name != r.Archive.Name {
		t.Errorf("figures were lost: %+v", got)
	}
	if len(got.Findings) == 0 || got.Findings[0] != r.Findings[0] {
		t.Errorf("the first finding was lost: %+v", got.Findings)
	}
	if len(r.Backups.Newest) != 1001 {
		t.Error("Encode changed what it was given")
	}
}

func TestEncodeKeepsTheNewestBackups(t *testing.T) {
	r := full()
	r.Backups.Newest = nil
	for i := range 200 {
		r.Backups.Newest = append(r.Backups.Newest, Backup{Name: fmt.Sprintf("appliance-%04d", i)})
	}
	b, err := Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(string(b))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got.Backups.Newest); n < 20 || n >= 200 || got.Backups.Newest[0].Name != "appliance-0000" {
		t.Errorf("%d of 200 backups left", n)
	}
}

func TestDecodeRefusesWhatIsNoReport(t *testing.T) {
	for _, message := range []string{"", "Killed", "{}", `{"version":1}`, `{"version":1,"outcome":"Fine"}`, `[1]`} {
		if _, err := Decode(message); !errors.Is(err, ErrNoReport) {
			t.Errorf("Decode(%q) = %v, want ErrNoReport", message, err)
		}
	}
}

func TestDecodeReadsANewerReport(t *testing.T) {
	got, err := Decode(`{"version":2,"outcome":"Succeeded","message":"done","mood":"good"}`)
	if err != nil || got.Outcome != Succeeded {
		t.Errorf("got %+v, %v", got, err)
	}
}
