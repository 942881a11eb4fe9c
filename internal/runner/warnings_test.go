// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive"
	"github.com/google/go-cmp/cmp"
)

// warned is a warning log to which warnings of a kind are added, and what it logged.
func warned(w *warningLog, kind archive.WarningKind, count int) string {
	var out bytes.Buffer
	w.log = slog.New(slog.NewTextHandler(&out, nil))
	for i := range count {
		w.add(archive.Warning{Source: "data", Path: fmt.Sprintf("%s-%d", kind, i), Kind: kind})
	}
	w.end()
	return out.String()
}

func TestAnUnreadableFileIsNotHiddenBehindChangedOnes(t *testing.T) {
	var w warningLog
	warned(&w, archive.Changed, 300)
	out := warned(&w, archive.Unreadable, 1)
	if !strings.Contains(out, "file=data/Unreadable-0 warning=Unreadable") {
		t.Errorf("the unreadable file isn't logged:\n%s", out)
	}
	first := w.first()
	if len(first) != maxWarningsReported || first[0] != "data/Unreadable-0: unreadable" || first[1] != "data/Changed-0: changed" {
		t.Errorf("reported first: %q", first)
	}
}

func TestWarningsAreBoundedAndTheRestIsCounted(t *testing.T) {
	for _, test := range []struct {
		kind   archive.WarningKind
		logged int
	}{
		{archive.Unreadable, 1000}, {archive.Shrank, 1000}, {archive.Emptied, 1000},
		{archive.Changed, 200}, {archive.Grew, 200}, {archive.Vanished, 200}, {archive.Skipped, 200},
	} {
		for _, more := range []int{0, 7} {
			var w warningLog
			out := warned(&w, test.kind, test.logged+more)
			if got := strings.Count(out, "file=data/"); got != test.logged {
				t.Errorf("%s: %d are logged, want %d", test.kind, got, test.logged)
			}
			if got := strings.Contains(out, "more=7\n"); got != (more > 0) || strings.Count(out, "more=") > 1 {
				t.Errorf("%s: with %d more it ends in %q", test.kind, more, out[len(out)-200:])
			}
			if len(w.first()) > maxWarningsReported {
				t.Errorf("%s: %d are reported", test.kind, len(w.first()))
			}
		}
	}
}

func TestSocketsAreNoWarningsToReport(t *testing.T) {
	var w warningLog
	warned(&w, archive.Skipped, 3)
	warned(&w, archive.Grew, 1)
	if diff := cmp.Diff([]string{"data/Grew-0: grew"}, w.first()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDescribeWarningIsText(t *testing.T) {
	got := describeWarning(archive.Warning{Source: "data", Path: "a\xff", Kind: archive.Unreadable, Err: "permission denied"})
	if got != "data/a?: unreadable (permission denied)" {
		t.Errorf("%q", got)
	}
}

func TestWarningsOfAnAttemptInVainAreForgotten(t *testing.T) {
	var w warningLog
	warned(&w, archive.Changed, 3)
	w.add(archive.Warning{Path: ".", Kind: archive.Damaged, Err: "it was changed"})
	warned(&w, archive.Changed, 1)
	if diff := cmp.Diff([]string{"the archive before: damaged (it was changed)", "data/Changed-0: changed"}, w.first()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDamageIsNotHiddenBehindChangedFiles(t *testing.T) {
	var w warningLog
	warned(&w, archive.Changed, 300)
	warned(&w, archive.Unreadable, 1)
	out := warned(&w, archive.Damaged, 1)
	if !strings.Contains(out, "warning=Damaged") {
		t.Errorf("the damage isn't logged:\n%s", out)
	}
	want := []string{"data/Unreadable-0: unreadable", "the archive before: damaged", "data/Changed-0: changed"}
	if diff := cmp.Diff(want, w.first()[:3]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if out := warned(&w, archive.Damaged, maxOthersLogged); !strings.Contains(out, "parts of the earlier archive are damaged") {
		t.Error("not told that there are more")
	}
}
