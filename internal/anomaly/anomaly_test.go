// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package anomaly

import (
	"fmt"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/report"
	"github.com/google/go-cmp/cmp"
)

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
)

// data is what a backup has of the source data.
func data(files, bytes int64) archive.SourceSummary {
	return archive.SourceSummary{Name: "data", Files: files, Bytes: bytes}
}

// mounted adds a file system at nested to a source.
func mounted(s archive.SourceSummary, files, bytes int64) archive.SourceSummary {
	s.FileSystems = []archive.FileSystem{{Path: "nested", Files: files, Bytes: bytes}}
	return s
}

// gone adds the directory where it was.
func gone(s archive.SourceSummary, files, bytes int64) archive.SourceSummary {
	s.FileSystems = []archive.FileSystem{{Path: "nested", Gone: true, Files: files, Bytes: bytes}}
	return s
}

func volume(s archive.SourceSummary) archive.SourceSummary {
	s.OwnFileSystem = true
	return s
}

func repeat(n int, s archive.SourceSummary) []archive.SourceSummary {
	all := make([]archive.SourceSummary, n)
	for i := range all {
		all[i] = s
	}
	return all
}

// history is one of a single source, given oldest first, of which the last is looked at.
func history(agreeing int, sources ...archive.SourceSummary) History {
	h := History{Agreeing: agreeing}
	for i, s := range sources {
		b := Backup{Name: fmt.Sprintf("day-%d", i+1), Sources: []archive.SourceSummary{s}}
		if i == len(sources)-1 {
			h.Latest = b
		} else {
			h.Earlier = append([]Backup{b}, h.Earlier...)
		}
	}
	return h
}

// TestSteepDropsAreFound: sources that lost most of what they held, from oldest to newest.
func TestSteepDropsAreFound(t *testing.T) {
	const shrank, missing = report.FindingSourceShrank, report.FindingFileSystemMissing
	for name, test := range map[string]struct {
		past []archive.SourceSummary
		want report.FindingReason
	}{
		"a placeholder in place of three files": {[]archive.SourceSummary{data(3, 29*mib/10), data(1, 87)}, shrank},
		"most files, and hardly any bytes":      {[]archive.SourceSummary{data(1001, 1000*mib), data(2, 999*mib)}, shrank},
		"most bytes, and hardly any files":      {[]archive.SourceSummary{data(1001, 1000*mib), data(1000, 4*mib)}, shrank},
		"a database that was cut":               {[]archive.SourceSummary{data(1, 100*mib), data(1, 8*kib)}, shrank},
		"many small files":                      {[]archive.SourceSummary{data(50, 5*kib), data(5, 500)}, shrank},
		"after a week":                          {append(repeat(7, data(500, 50*mib)), data(1, 10)), shrank},
		"after it grew": {[]archive.SourceSummary{
			data(2, 10), data(10, 2*mib), data(500, 50*mib), data(1, 10)}, shrank},
		"in two steps":          {[]archive.SourceSummary{data(1000, 90*mib), data(300, 27*mib), data(90, 8*mib)}, shrank},
		"again on the next day": {[]archive.SourceSummary{data(1000, 90*mib), data(1, 80), data(1, 80)}, shrank},
		"after a day on which nothing was there at all": {[]archive.SourceSummary{data(0, 0), data(3, 3*mib), data(1, 80)}, shrank},

		"a file system inside":                  {[]archive.SourceSummary{mounted(data(900, 90*mib), 5, 50), gone(data(895, 90*mib), 0, 0)}, missing},
		"and a placeholder":                     {[]archive.SourceSummary{mounted(data(900, 90*mib), 5, 50), gone(data(896, 90*mib), 1, 80)}, missing},
		"and new files elsewhere":               {[]archive.SourceSummary{mounted(data(9, 90), 5, 50), gone(data(1000, 9*mib), 0, 0)}, missing},
		"and most of the source with it":        {[]archive.SourceSummary{mounted(data(900, 90*mib), 890, 89*mib), gone(data(10, mib), 0, 0)}, missing},
		"that was mounted a few days ago":       {[]archive.SourceSummary{data(9, 90), data(9, 90), mounted(data(12, 120), 3, 30), gone(data(9, 90), 0, 0)}, missing},
		"the volume, with a placeholder":        {[]archive.SourceSummary{volume(data(5, 2*kib)), data(1, 87)}, missing},
		"the volume, with files from before it": {[]archive.SourceSummary{volume(data(100, 90*mib)), data(101, 10*mib)}, missing},
	} {
		t.Run(name, func(t *testing.T) {
			found := Detect(history(3, test.past...))
			if len(found) != 1 || found[0].Reason != test.want || found[0].Pause == 0 {
				t.Errorf("found %+v, want one %s", found, test.want)
			}
		})
	}
}

// TestOrdinaryDaysAreNotUnusual: what sources do without anything being amiss.
func TestOrdinaryDaysAreNotUnusual(t *testing.T) {
	for name, past := range map[string][]archive.SourceSummary{
		"a first backup":                   {data(3, 30)},
		"nothing changed":                  repeat(8, data(500, 50*mib)),
		"it grew":                          {data(1, 10), data(1000, 90*mib)},
		"a log was rotated and compressed": {data(1, 100*mib), data(2, 5*mib)},
		"a log was rotated, and the oldest removed": {data(5, 110*mib), data(5, 12*mib)},
		"a cache was emptied":                       {data(5000, 500*mib), data(800, 100*mib)},
		"two of three settings were removed":        {data(3, 3*kib), data(1, kib)},
		"most of a small source was removed":        {data(19, 900*kib), data(1, 10)},
		"half of everything was removed":            {data(1000, 90*mib), data(400, 30*mib)},
		"a spool that fills and empties":            {data(900, 9*mib), data(3, 30), data(800, 8*mib), data(2, 20)},
		"a volume that was empty until now":         {data(0, 0), data(0, 0), data(3, 30)},
		"a source that is new":                      {{Name: "other", Files: 1000, Bytes: 90 * mib}, data(1, 10)},
		"it came back":                              {data(1000, 90*mib), data(1, 80), data(1000, 90*mib)},
		"a file system inside it":                   repeat(3, mounted(data(900, 90*mib), 5, 50)),
		"one more file system":                      {data(900, 90*mib), mounted(data(905, 90*mib), 5, 50)},
		"its files are there without it":            {mounted(data(900, 90*mib), 5, 50), gone(data(900, 90*mib), 5, 50)},
		"its directory was removed too":             {mounted(data(900, 90*mib), 5, 50), data(895, 90*mib)},
		"an empty one is gone":                      {mounted(data(900, 90*mib), 0, 0), gone(data(900, 90*mib), 0, 0)},
		"one that comes and goes": {
			mounted(data(905, 90*mib), 5, 50), gone(data(900, 90*mib), 0, 0), mounted(data(905, 90*mib), 5, 50), gone(data(900, 90*mib), 0, 0)},
		"the files moved from a volume of their own":           {volume(data(100, 90*mib)), data(100, 90*mib)},
		"a source that is missing makes the backup incomplete": {data(100, 90*mib), {Name: "data", Emptied: true}},
	} {
		t.Run(name, func(t *testing.T) {
			if found := Detect(history(3, past...)); len(found) > 0 {
				t.Errorf("found %+v", found)
			}
		})
	}
}

// TestAChangeIsMeantWhenEnoughBackupsShowIt: each further one is one fewer to wait for.
func TestAChangeIsMeantWhenEnoughBackupsShowIt(t *testing.T) {
	for _, low := range []archive.SourceSummary{data(1, 87), gone(data(895, 90*mib), 0, 0)} {
		past := repeat(7, mounted(data(900, 90*mib), 5, 50))
		for further := range 9 {
			past = append(past, low)
			want := max(7-further, 0)
			got := 0
			for _, f := range Detect(history(7, past...)) {
				got = f.Pause
			}
			if got != want {
				t.Errorf("after %d further backups, %d must still agree, want %d", further, got, want)
			}
		}
	}
}

func TestABackupOfNothingIsFound(t *testing.T) {
	nothing := history(3, data(0, 0))
	for name, test := range map[string]struct {
		history History
		want    int
	}{
		"the first":                      {nothing, 1},
		"the second":                     {history(3, data(0, 0), data(0, 0)), 1},
		"one source of two":              {History{Latest: Backup{Sources: []archive.SourceSummary{data(0, 0), {Name: "logs", Files: 1}}}}, 0},
		"a person said that it is empty": {History{Latest: nothing.Latest, Earlier: []Backup{nothing.Latest}, Accepted: true}, 0},
		"it held files, so it is incomplete": {
			history(3, data(5, 50), archive.SourceSummary{Name: "data", Emptied: true}), 0},
	} {
		t.Run(name, func(t *testing.T) {
			found := Detect(test.history)
			if len(found) != test.want || test.want > 0 && (found[0].Reason != report.FindingNothingBackedUp || found[0].Pause != 0) {
				t.Errorf("found %+v, want %d", found, test.want)
			}
		})
	}
}

func TestEachSourceIsComparedByItself(t *testing.T) {
	logs := func(files int64) archive.SourceSummary {
		return archive.SourceSummary{Name: "logs", Files: files, Bytes: files * mib}
	}
	h := History{
		Agreeing: 3,
		Latest:   Backup{Name: "now", Sources: []archive.SourceSummary{data(1, 1), logs(1)}},
		Earlier:  []Backup{{Name: "before", Sources: []archive.SourceSummary{logs(100), data(100, 100*mib), {Name: "taken out", Files: 900}}}},
	}
	var sources []string
	for _, f := range Detect(h) {
		source, _, _ := strings.Cut(f.Message, " ")
		sources = append(sources, source)
	}
	if diff := cmp.Diff([]string{"data", "logs"}, sources); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFindingsSpeakInNumbers(t *testing.T) {
	for _, test := range []struct {
		history History
		want    string
	}{
		{history(3, data(3, 29*mib/10), data(1, 87)), "data shrank: it held 3 files of 2.9 MiB in day-1 and holds 1 file of 87 B " +
			"in day-2: check that everything is mounted and that nothing was deleted by mistake"},
		{history(3, mounted(data(900, 90*mib), 5, 50*kib), gone(data(895, 90*mib), 0, 0)), "no file system is mounted at data/nested " +
			"any more: it held 5 files of 50.0 KiB in day-1, and day-2 has 0 files of 0 B there: check that the volume is mounted"},
	} {
		found := Detect(test.history)
		if len(found) != 1 || found[0].Message != test.want {
			t.Errorf("found %+v, want %q", found, test.want)
		}
	}
}
