// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// readMessages are the termination messages in a directory of testdata, by the name of the file.
func readMessages(t testing.TB, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no messages in %s: %v", dir, err)
	}
	messages := map[string]string{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		messages[filepath.Base(file)] = string(content)
	}
	return messages
}

func TestHostileReportsAreRefused(t *testing.T) {
	for name, message := range readMessages(t, "hostile") {
		if r, err := Decode(message); !errors.Is(err, ErrNoReport) {
			t.Errorf("%s: decoded to %+v, %v", name, r, err)
		}
	}
}

func TestOddReportsAreRead(t *testing.T) {
	for name, message := range readMessages(t, "odd") {
		if _, err := Decode(message); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEveryFieldHasARule: a field that is added and forgotten, here or in stringRules, fails it.
func TestEveryFieldHasARule(t *testing.T) {
	r := full()
	err := walk(reflect.ValueOf(&r), "report", "", func(v reflect.Value, path string, _ reflect.StructTag) error {
		if v.IsZero() && v.Kind() != reflect.Bool && path != "report.Sync.Message" {
			t.Errorf("full() leaves %s out", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	r.Sync.Message = "said of a sync that failed"
	if err := r.check(); err != nil {
		t.Error(err)
	}
	for _, forgotten := range []any{
		&struct{ Text string }{"no rule"},
		&struct {
			Text string `check:"txet"`
		}{"a rule that is none"},
		&struct{ Share float64 }{0.5},
		&struct{ Map map[string]string }{map[string]string{}},
		&struct{ Nested []struct{ Text string } }{make([]struct{ Text string }, 1)},
	} {
		if err := walk(reflect.ValueOf(forgotten), "", "", checkValue); err == nil {
			t.Errorf("%+v has no rule and is valid", forgotten)
		}
	}
}

// FuzzDecode holds what Decode accepts against what the status and its readers can take.
func FuzzDecode(f *testing.F) {
	for _, dir := range []string{"hostile", "odd"} {
		for _, message := range readMessages(f, dir) {
			f.Add(message)
		}
	}
	f.Fuzz(func(t *testing.T, message string) {
		r, err := Decode(message)
		if err != nil {
			if !errors.Is(err, ErrNoReport) {
				t.Errorf("%v is no ErrNoReport", err)
			}
			return
		}
		if r.Archive != nil && filepath.Base(r.Archive.Name) != r.Archive.Name {
			t.Errorf("the archive is a path: %q", r.Archive.Name)
		}
		if r.Backups != nil && (r.Backups.Count < 0 || r.Backups.Count > math.MaxInt32) {
			t.Errorf("%d backups", r.Backups.Count)
		}
		if strings.ContainsAny(r.Message+string(r.Reason), "\x00\n\r\x1b\u202e") {
			t.Errorf("control characters in %q", r.Message)
		}
		// What is decoded can be written again and read again.
		b, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(string(b)); err != nil {
			t.Errorf("Decode doesn't read %s: %v", b, err)
		}
	})
}

// FuzzEncode: whatever a run comes across, its report can be read.
func FuzzEncode(f *testing.F) {
	f.Add("made a.tar.zst", "data/a: permission denied", int64(3), uint16(4096))
	f.Add("two\nlines\t\x00\x1b[2J\u202e", "\xff\xfe", int64(-1), uint16(1024))
	f.Add(strings.Repeat("\x01", 5000), strings.Repeat("é", 5000), int64(math.MaxInt64), uint16(2000))
	f.Fuzz(func(t *testing.T, message, warning string, number int64, limit uint16) {
		r := full()
		r.Message, r.Sync.Message, r.Findings[0].Message, r.Warnings.First[0] = message, message, warning, warning
		r.Archive.Files, r.Storage.Free, r.Backups.Count, r.Warnings.Count = number, number, int(number), number
		limit = max(limit, 1024) // See TestEncodeFitsInLittle.
		b, err := EncodeWithin(r, int(limit))
		if err != nil || len(b) > int(limit) {
			t.Fatalf("%d bytes of %d: %v", len(b), limit, err)
		}
		got, err := Decode(string(b))
		if err != nil {
			t.Fatalf("Decode doesn't read %s: %v", b, err)
		}
		if got.Outcome != r.Outcome || got.Archive.Name != r.Archive.Name || got.Policy != r.Policy || got.Run != r.Run {
			t.Errorf("lost: %+v", got)
		}
	})
}

// TestEncodeFitsInLittle: in a pod of many containers, the kubelet leaves little to each.
func TestEncodeFitsInLittle(t *testing.T) {
	r := full()
	r.Policy, r.Run = strings.Repeat("n", 63)+"/"+strings.Repeat("p", 45), strings.Repeat("j", 63)+"/"+strings.Repeat("u", 36)
	r.Message, r.Sync.Message = strings.Repeat("m", 2000), strings.Repeat("s", 2000)
	r.Archive.Name = strings.Repeat("a", 64) + "-20261122T050000Z.tar.zst"
	b, err := EncodeWithin(r, 12*1024/(1+16+2))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(string(b))
	if err != nil || got.Run != r.Run || got.Archive.BytesRead != r.Archive.BytesRead {
		t.Errorf("%s: %v", b, err)
	}
}

// TestRepairLeavesWhatIsValid as it is.
func TestRepairLeavesWhatIsValid(t *testing.T) {
	want := full()
	got := full()
	got.repair()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	got.Message, got.Storage.Total, got.StartTime = "a\n\x1bb\xff", -1, time.Time{}
	got.repair()
	if got.Message != "a �b�" || got.Storage.Total != 0 || !got.StartTime.IsZero() {
		t.Errorf("%q, %d, %s", got.Message, got.Storage.Total, got.StartTime)
	}
}
