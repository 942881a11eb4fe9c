// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"maps"
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

// made makes a backup of a day from a letter: c(omplete), i(ncomplete), d(amaged), f(oreign), o(ther policy's),
// b(roken: complete, but found damaged by a later run).
func made(day int, kind rune) Backup {
	name := Name{Prefix: "app", Time: day0.AddDate(0, 0, day)}
	b := Backup{Name: name, File: name.String(), Header: archive.Header{Policy: own}, Bytes: int64(day + 1)}
	switch kind {
	case 'c':
		b.State = Complete
	case 'b':
		b.State, b.Distrusted = Complete, true
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
		name    string
		history string
		keep    int
		current int // day, -1 for none
		want    string
	}{
		{"nothing there", "", 3, -1, ""},
		{"fewer than kept", "cc", 3, 1, "cc"},
		{"as many as kept", "ccc", 3, 2, "ccc"},
		{"one too many", "cccc", 3, 3, "xccc"},
		{"many too many, after the number was lowered", "cccccccc", 2, 7, "xxxxxxcc"},
		{"one is kept", "ccc", 1, 2, "xxc"},
		{"a number that makes no sense keeps one", "ccc", 0, 2, "xxc"},

		{"after an incomplete run only incomplete ones go", "iciciii", 3, 6, "xcxciii"},
		{"after an incomplete run complete ones take no places", "ccici", 3, 4, "ccici"},
		{"after an incomplete run no complete one goes, however many", "ccccci", 3, 5, "ccccci"},
		{"incomplete nights don't displace complete ones", "cciiii", 3, 5, "ccxiii"},
		{"nor do they displace the only complete one", "ciii", 1, 3, "cxxi"},
		{"only incomplete ones", "iiiii", 2, 4, "xxxii"},

		{"a complete run after incomplete nights", "ccccccciiiiiic", 7, 13, "xccccccxxxxxxc"},
		{"complete ones leave no place for incomplete ones", "icicic", 3, 5, "xcxcxc"},
		{"complete ones leave a place", "iciic", 3, 4, "xcxic"},
		{"complete ones leave places for all", "iic", 3, 2, "iic"},
		{"the first complete one after incomplete ones", "iiiic", 3, 4, "xxiic"},
		{"an incomplete one that is newer than the current one", "cci", 2, 1, "ccx"},

		{"others' and damaged ones neither count nor go", "odfcodfcc", 2, 8, "odfxodfcc"},
		{"the newest are others'", "ccooo", 1, 1, "xcooo"},
		{"the current one is another policy's", "ccco", 1, 3, "ccco"},
		{"a clock set back: the current one is the oldest", "cccc", 3, 0, "cxcc"},
		{"a clock set back, one kept", "ccc", 1, 0, "cxx"},
		{"a clock set back, an incomplete run", "iciii", 2, 0, "icxxi"},
		{"one that was found damaged takes no place", "ccbc", 3, 3, "ccbc"},
		{"nor that of an incomplete one", "cibc", 3, 3, "cibc"},
		{"and goes when no place is free", "cbccc", 3, 4, "xxccc"},
		{"after an incomplete run it stays", "bccci", 3, 4, "bccci"},
		{"no current one: no complete one goes", "ccciii", 2, -1, "cccxii"},
		{"the current one isn't there: no complete one goes", "ccc", 2, 9, "ccc"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rules := Rules{Policy: own, Keep: test.keep}
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

// randomPair is what a backup directory and its mirror may hold. Where both have a good backup under one name, it is the
// same one; the mirror's copy may be damaged.
func randomPair(rng *rand.Rand) (here, mirror string) {
	here = randomHistory(rng)
	there := []byte(randomHistory(rng))
	for day := range min(len(here), len(there)) {
		if here[day] == 'c' || here[day] == 'i' {
			there[day] = []byte{here[day], here[day], 'd', '.'}[rng.IntN(4)]
		}
	}
	return here, string(there)
}

// randomRules are rules for a listing, with a current backup in it or without one.
func randomRules(rng *rand.Rand, backups []Backup) Rules {
	rules := Rules{Policy: own, Keep: 1 + rng.IntN(6)}
	if len(backups) > 0 && rng.IntN(4) > 0 {
		rules.Current = backups[rng.IntN(len(backups))].File
	}
	return rules
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
		rules := randomRules(rng, backups)
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
	kept, removed := map[State]int{}, map[State]int{}
	renewed := false
	for _, d := range decisions {
		isOwn := d.Backup.Good() && d.Backup.Header.Policy == rules.Policy
		current := isOwn && d.Backup.File == rules.Current
		renewed = renewed || current && d.Backup.State == Complete
		switch {
		case !isOwn && !d.Keep:
			return "a backup that isn't its own was removed"
		case current && !d.Keep:
			return "the current backup was removed"
		case isOwn && d.Keep:
			kept[d.Backup.State]++
		case isOwn:
			removed[d.Backup.State]++
		}
	}
	all := kept[Complete] + kept[Incomplete]
	switch {
	case removed[Complete] > 0 && !renewed:
		return "a complete backup was removed without a complete one just made"
	case removed[Complete] > 0 && kept[Complete] != rules.Keep:
		return "a complete backup was removed, and not as many as asked for are left"
	case renewed && all > rules.Keep:
		return "more was kept than asked for"
	case renewed && removed[Incomplete] > 0 && all != rules.Keep:
		return "an incomplete backup was removed though there was a place"
	case !renewed && kept[Incomplete] > rules.Keep:
		return "more incomplete ones were kept than asked for"
	case !renewed && removed[Incomplete] > 0 && kept[Incomplete] != rules.Keep:
		return "more incomplete ones were removed than allowed"
	}
	return ""
}

// TestPruningHereCostsTheMirrorNothing is why the backup directory may be pruned while the mirror can't be reached.
func TestPruningHereCostsTheMirrorNothing(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 20000 {
		hereLetters, mirrorLetters := randomPair(rng)
		here, mirror := history(hereLetters), history(mirrorLetters)
		rules := randomRules(rng, here)
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

// TestWhatIsSentIsWhatTheMirrorRetains: nothing is sent to be removed there at once, nothing that would stay is not
// sent.
func TestWhatIsSentIsWhatTheMirrorRetains(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 20000 {
		hereLetters, mirrorLetters := randomPair(rng)
		here, mirror := history(hereLetters), history(mirrorLetters)
		rules := randomRules(rng, here)
		owned := slices.DeleteFunc(slices.Clone(here), func(b Backup) bool { return !b.Good() || b.Header.Policy != own })
		retained := func(backups []Backup) map[string]bool {
			names := map[string]bool{}
			for _, d := range Retain(backups, rules) {
				names[d.Backup.File] = d.Keep
			}
			return names
		}
		ifAllWereSent := retained(Merge(owned, mirror))
		want, got := map[string]bool{}, map[string]bool{}
		for _, b := range owned {
			if ifAllWereSent[b.File] {
				want[b.File] = true
			}
		}
		send := Missing(here, mirror, rules)
		afterwards := retained(Merge(send, mirror))
		for _, b := range send {
			got[b.File] = afterwards[b.File]
		}
		if !maps.Equal(want, got) {
			t.Fatalf("%s to %s with %+v: (-want +sent and then kept)\n%s", hereLetters, mirrorLetters, rules, cmp.Diff(want, got))
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
		{"after an incomplete run all complete ones", "cccci", "", 3, "cccci"},
		{"incomplete ones for which there is a place", "iiccic", "", 4, "..ccic"},
		{"what is there is listed too", "ccccc", "ccc", 3, "..ccc"},
		{"nothing here, nothing sent", "", "ccc", 3, ""},
		{"what would be removed there at once isn't sent", "cc..c", "ccc.", 2, "....c"},
		{"only good ones of its own", "codfi", "", 9, "c...i"},
		{"a damaged copy is replaced", "ccc", "cdc", 3, "ccc"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			here := history(test.here)
			rules := Rules{Policy: own, Keep: test.keep}
			if len(here) > 0 {
				rules.Current = here[len(here)-1].File
			}
			for _, b := range Missing(here, history(test.mirror), rules) {
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
}

// TestADamagedCopyIsNotTakenForAStrangersFile: rsync has given it the size and the time of what was sent.
func TestADamagedCopyIsNotTakenForAStrangersFile(t *testing.T) {
	sent := history("c")
	sent[0].ModTime = day0.Add(123 * time.Nanosecond)
	for name, test := range map[string]struct {
		state     State
		bytes     int64
		age       time.Duration
		conflicts int
	}{
		"first bytes damaged":           {Foreign, sent[0].Bytes, 0, 0},
		"header damaged":                {Damaged, sent[0].Bytes, 0, 0},
		"header damaged, coarse times":  {Damaged, sent[0].Bytes, time.Second, 0},
		"a stranger's, of another size": {Foreign, sent[0].Bytes + 1, 0, 1},
		"a stranger's, of another time": {Foreign, sent[0].Bytes, time.Minute, 1},
		"another good archive":          {Complete, sent[0].Bytes, 0, 1},
	} {
		there := sent[0]
		there.State, there.Bytes, there.ModTime = test.state, test.bytes, sent[0].ModTime.Add(test.age)
		there.Header = archive.Header{}
		if got := Conflicts(sent, []Backup{there}); len(got) != test.conflicts {
			t.Errorf("%s: %q", name, got)
		}
	}
}
