// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

func TestParseSchedule(t *testing.T) {
	for _, c := range []struct{ schedule, line string }{
		{"0 5 * * *", "0 5 * * *"},
		{"  0   5 * * * ", "0 5 * * *"},
		{"@daily", "@daily"},
		{"0 5 * * THU", "0 5 * * THU"},
		{"0 5 * MAR-SEP *", "0 5 * MAR-SEP *"},
		{"H 5 * * *", "40 5 * * *"},
		{"H H(0-5) * * *", "40 1 * * *"},
		{"H/15 * * * *", "10-59/15 * * * *"},
		{"H(0-29)/10 * * * *", "0-29/10 * * * *"},
		{"H 5 H * H", "40 5 7 * 4"},
		{"H,30 5 * * *", "40,30 5 * * *"},
	} {
		got, err := parseSchedule(c.schedule, "", "orbit/appliance")
		if err != nil {
			t.Errorf("%q: %s", c.schedule, err.message)
		} else if got.Line != c.line {
			t.Errorf("%q became %q, want %q", c.schedule, got.Line, c.line)
		}
	}
}

func TestParseScheduleRefuses(t *testing.T) {
	for _, c := range []struct{ schedule, zone, reason, message string }{
		{"99 99 * * *", "", backupv1alpha1.ReasonInvalidSchedule, "99"},
		{"tomorrow", "", backupv1alpha1.ReasonInvalidSchedule, "five fields"},
		{"", "", backupv1alpha1.ReasonInvalidSchedule, "five fields"},
		{"0 0 5 * * *", "", backupv1alpha1.ReasonInvalidSchedule, "five fields"},
		{"0 0 30 2 *", "", backupv1alpha1.ReasonInvalidSchedule, "never run"},
		{"TZ=UTC 0 5 * * *", "", backupv1alpha1.ReasonInvalidSchedule, "set timeZone"},
		{"H(5-70) * * * *", "", backupv1alpha1.ReasonInvalidSchedule, "0-59"},
		{"H(9-5) * * * *", "", backupv1alpha1.ReasonInvalidSchedule, "0-59"},
		{"H/0 * * * *", "", backupv1alpha1.ReasonInvalidSchedule, "step"},
		{"HH * * * *", "", backupv1alpha1.ReasonInvalidSchedule, "H stands alone"},
		{"0 5 H(1-31) * *", "", backupv1alpha1.ReasonInvalidSchedule, "1-28"},
		{"@every 12h", "", backupv1alpha1.ReasonInvalidSchedule, "H H/12 * * *"},
		{"0 5 * * *", "Mars/Olympus", backupv1alpha1.ReasonInvalidTimeZone, "Mars/Olympus"},
		{"0 5 * * *", "Local", backupv1alpha1.ReasonInvalidTimeZone, "Local"},
		{"0 5 * * *", "local", backupv1alpha1.ReasonInvalidTimeZone, "tz database"},
		{"0 5 * * *", "localtime", backupv1alpha1.ReasonInvalidTimeZone, "tz database"},
		{"0 5 * * *", "Factory", backupv1alpha1.ReasonInvalidTimeZone, "tz database"},
		{"0 5 * * *", "posixrules", backupv1alpha1.ReasonInvalidTimeZone, "tz database"},
		{"0 5 * * *", "posix/Europe/Berlin", backupv1alpha1.ReasonInvalidTimeZone, "tz database"},
		{"0 5 * * *", "right/Europe/Berlin", backupv1alpha1.ReasonInvalidTimeZone, "tz database"},
		{"0 5 * * *", "../etc/passwd", backupv1alpha1.ReasonInvalidTimeZone, "tz database"},
	} {
		_, err := parseSchedule(c.schedule, c.zone, "a/b")
		if err == nil {
			t.Errorf("%q in %q was taken", c.schedule, c.zone)
		} else if err.reason != c.reason || !strings.Contains(err.message, c.message) {
			t.Errorf("%q in %q: %s: %s", c.schedule, c.zone, err.reason, err.message)
		}
	}
}

// TestHashSpreads holds H to its purpose: a thousand policies must not start at once.
func TestHashSpreads(t *testing.T) {
	starts := map[string]int{}
	for i := range 1000 {
		schedule, err := parseSchedule("H * * * *", "", fmt.Sprintf("orbit/appliance-%d", i))
		if err != nil {
			t.Fatal(err.message)
		}
		starts[schedule.Line]++
	}
	if len(starts) < 60 {
		t.Errorf("1000 policies start at only %d different minutes", len(starts))
	}
	for line, n := range starts {
		if n > 40 {
			t.Errorf("%d of 1000 policies start at %q", n, line)
		}
	}
}

func TestScheduleNextIsInTheTimeZone(t *testing.T) {
	schedule, err := parseSchedule("0 5 * * *", "America/Sao_Paulo", "a/b")
	if err != nil {
		t.Fatal(err.message)
	}
	now := time.Date(2026, 11, 22, 7, 59, 0, 0, time.UTC)
	if got, want := schedule.Next(now), time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("next run at %s, want %s", got, want)
	}
}
