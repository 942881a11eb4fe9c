// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"github.com/google/go-cmp/cmp"
)

const own = "orbit/appliance"

var day0 = time.Date(2026, 11, 1, 5, 0, 0, 0, time.UTC)

// made makes a backup of a day from a letter: c(omplete), i(ncomplete), d(amaged), f(oreign), o(ther policy's).
func made(day int, kind rune) Backup {
	name := Name{Prefix: "app", Time: day0.AddDate(0, 0, day)}
	b := Backup{Name: name, File: name.String(), Header: archive.Header{Policy: own}, Bytes: int64(day + 1)}
	switch kind {
	case 'c':
		b.State = Complete
	case 'i':
		b.State = Incomplete
	case 'd':
		b.State = Damaged
	case 'f':
		b.State, b.Header = Foreign, archive.Header{}
	case 'o':
		b.State, b.Header.Policy = Complete, "other/policy"
	default:
		panic(string(kind))
	}
	return b
}

// history makes a backup for each letter, oldest first. A dot is a day without one.
func history(letters string) []Backup {
	var backups []Backup
	for day, kind := range letters {
		if kind != '.' {
			backups = append(backups, made(day, kind))
		}
	}
	return backups
}

// outcome draws decisions over a history: what is kept stays, what is removed becomes an x.
func outcome(letters string, decisions []Decision) string {
	out := []byte(letters)
	for _, d := range decisions {
		if !d.Keep {
			out[int(d.Backup.Name.Time.Sub(day0).Hours()/24)] = 'x'
		}
	}
	return string(out)
}

func TestRetain(t *testing.T) {
	for _, test := range []struct {
		name       string
		history    string
		keep       int
		current    int // day, -1 for none
		incomplete bool
		want       string
	}{
		{"nothing there", "", 3, -1, false, ""},
		{"fewer than kept", "cc", 3, 1, false, "cc"},
		{"as many as kept", "ccc", 3, 2, false, "ccc"},
		{"one too many", "cccc", 3, 3, false, "xccc"},
		{"many too many, after the number was lowered", "cccccccc", 2, 7, false, "xxxxxxcc"},
		{"one is kept", "ccc", 1, 2, false, "xxc"},
		{"a number that makes no sense keeps one", "ccc", 0, 2, false, "xxc"},
		{"incomplete ones count", "ccici", 3, 4, true, "ccici"},
		{"after an incomplete run only incomplete ones go", "iciciii", 3, 6, true, "xcxciii"},
		{"a complete run lets the older ones go", "icicic", 3, 5, false, "xxxcic"},
		{"the newest complete one is kept besides", "cciiii", 3, 5, true, "ccxiii"},
		{"the newest complete one is kept without a current one", "cciiii", 3, -1, false, "xcxiii"},
		{"only incomplete ones", "iiiii", 2, 4, true, "xxxii"},
		{"others' and damaged ones neither count nor go", "odfcodfcc", 2, 8, false, "odfxodfcc"},
		{"the newest are others'", "ccooo", 1, 1, false, "xcooo"},
		{"a clock set back: the current one is the oldest", "cccc", 3, 0, false, "cxcc"},
		{"a clock set back, one kept", "ccc", 1, 0, false, "cxc"}, // The newest complete one stays besides.
		{"the current one isn't there", "ccc", 2, 9, false, "xcc"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rules := Rules{Policy: own, Keep: test.keep, OnlyIncomplete: test.incomplete}
			if test.current >= 0 {
				rules.Current = made(test.current, 'c').File
			}
			decisions := Retain(history(test.history), rules)
			if got := outcome(test.history, decisions); got != test.want {
				t.Errorf("%s became %s, want %s", test.history, got, test.want)
			}
			for _, d := range decisions {
				if d.Reason == "" {
					t.Errorf("no reason for %s", d.Backup.File)
				}
			}
		})
	}
}

func TestRetainDoesNotChangeWhatItIsGiven(t *testing.T) {
	backups := history("cicd")
	before := slices.Clone(backups)
	Retain(backups, Rules{Policy: own, Keep: 1})
	if diff := cmp.Diff(before, backups); diff != "" {
		t.Error(diff)
	}
}

// randomHistory is up to 14 days of anything.
func randomHistory(rng *rand.Rand) string {
	var b strings.Builder
	for range rng.IntN(15) {
		b.WriteByte("ccccciiidfo."[rng.IntN(12)])
	}
	return b.String()
}

// TestRetainProperties tries what must hold for every listing on many random ones.
func TestRetainProperties(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 20000 {
		letters := randomHistory(rng)
		backups := history(letters)
		rng.Shuffle(len(backups), func(i, j int) { backups[i], backups[j] = backups[j], backups[i] })
		rules := Rules{Policy: own, Keep: 1 + rng.IntN(6), OnlyIncomplete: rng.IntN(2) == 0}
		if len(backups) > 0 && rng.IntN(4) > 0 {
			rules.Current = backups[rng.IntN(len(backups))].File
		}
		decisions := Retain(backups, rules)
		if problem := violated(backups, decisions, rules); problem != "" {
			t.Fatalf("%s became %s with %+v: %s", letters, outcome(letters, decisions), rules, problem)
		}
	}
}

// violated says which property decisions violate, empty if none.
func violated(backups []Backup, decisions []Decision, rules Rules) string {
	if len(decisions) != len(backups) {
		return "not one decision for each backup"
	}
	isOwn := func(b Backup) bool { return b.Good() && b.Header.Policy == rules.Policy }
	kept, removed := 0, 0
	seenComplete := false
	for _, d := range decisions { // Newest first.
		newestComplete := isOwn(d.Backup) && d.Backup.State == Complete && !seenComplete
		seenComplete = seenComplete || newestComplete
		switch {
		case d.Keep && isOwn(d.Backup):
			kept++
		case d.Keep:
		case !isOwn(d.Backup):
			return "a backup that isn't its own was removed"
		case newestComplete:
			return "the newest complete backup was removed"
		case d.Backup.File == rules.Current:
			return "the current backup was removed"
		case rules.OnlyIncomplete && d.Backup.State == Complete:
			return "a complete backup was removed after an incomplete run"
		default:
			removed++
		}
	}
	switch {
	case removed > 0 && kept < rules.Keep:
		return "more was removed than allowed"
	case !rules.OnlyIncomplete && kept > rules.Keep+1:
		return "more was kept than asked for"
	}
	return ""
}

// TestPruningHereCostsTheMirrorNothing is why the backup directory may be pruned while the mirror can't be reached.
func TestPruningHereCostsTheMirrorNothing(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 20000 {
		here, mirror := history(randomHistory(rng)), history(randomHistory(rng))
		rules := Rules{Policy: own, Keep: 1 + rng.IntN(6), OnlyIncomplete: rng.IntN(2) == 0}
		if len(here) > 0 {
			rules.Current = here[rng.IntN(len(here))].File
		}
		removed := map[string]bool{}
		for _, d := range Retain(here, rules) {
			removed[d.Backup.File] = !d.Keep
		}
		there := map[string]bool{}
		for _, b := range mirror {
			there[b.File] = true
		}
		for _, b := range Missing(here, mirror, rules) {
			if removed[b.File] && !there[b.File] {
				t.Fatalf("%s would be kept in the mirror, isn't there yet, and is removed here", b.File)
			}
		}
	}
}

func TestMissing(t *testing.T) {
	for _, test := range []struct {
		name, here, mirror string
		keep               int
		want               string
	}{
		{"an empty mirror gets what is kept", "ccccc", "", 3, "..ccc"},
		{"what is there is listed too", "ccccc", "ccc", 3, "..ccc"},
		{"nothing here, nothing sent", "", "ccc", 3, ""},
		{"what would be removed there at once isn't sent", "cc", "..ccc", 3, ""},
		{"only good ones of its own", "codfi", "", 9, "c...i"},
		{"a damaged copy is replaced", "ccc", "cdc", 3, "ccc"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, b := range Missing(history(test.here), history(test.mirror), Rules{Policy: own, Keep: test.keep}) {
				got = append(got, b.File)
			}
			var want []string
			for _, b := range history(test.want) {
				want = append(want, b.File)
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestMergeUnitesTwoListings(t *testing.T) {
	here, mirror := history("c.d.c"), history("ciccf")
	slices.Reverse(here)
	var want []Backup
	want = append(want, here[0], mirror[3], here[1], mirror[1], here[2])
	if diff := cmp.Diff(want, Merge(here, mirror)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(here, Merge(here, nil)); diff != "" {
		t.Errorf("without a mirror (-want +got)\n%s", diff)
	}
}

func TestConflicts(t *testing.T) {
	another := history("ccccc")
	another[2].Header.Run = "another run"
	got := Conflicts(history("ccccc"), append(history("cd"), another[2:4]...))
	if diff := cmp.Diff([]string{another[2].File}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := Conflicts(history("cc"), history("cd")); got != nil {
		t.Errorf("%q", got)
	}
	if got := Conflicts(history("cc"), history(".f")); len(got) != 1 {
		t.Errorf("%q", got)
	}
}
