// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
)

// hostile are archives whose bytes are what was written, and whose words can't be meant well, by what is wrong.
func hostile() map[string][]forgedEntry {
	root, dir := directoryEntry("data"), directoryEntry("data/d")
	is := func(e forgedEntry, change func(*forgedEntry)) []forgedEntry {
		return []forgedEntry{root, e.with(change)}
	}
	return map[string][]forgedEntry{
		"a path that leads up":          {root, regular("data/../../escaped", "x")},
		"a path that is up":             {root, regular("data/..", "x")},
		"a path of this directory":      {root, regular("data/./x", "x")},
		"an empty path element":         {root, regular("data//x", "x")},
		"a path that ends in a slash":   {root, regular("data/x/", "x")},
		"a name with NUL":               {root, regular("data/x\x00y", "x")},
		"a root that is a file":         {regular("data", "x")},
		"a root that is a link":         {other(index.Symlink, "data", "/tmp")},
		"a path twice":                  {root, regular("data/x", "1"), regular("data/x", "2")},
		"paths out of order":            {root, regular("data/y", "1"), regular("data/x", "2")},
		"a file in nothing":             {root, regular("data/nowhere/x", "x")},
		"a file through a link":         {root, other(index.Symlink, "data/l", "/tmp"), regular("data/l/escaped", "x")},
		"a file through a file":         {root, regular("data/f", "f"), regular("data/f/x", "x")},
		"a file through a device":       {root, other(index.Character, "data/c", ""), regular("data/c/x", "x")},
		"a link to a file outside":      {root, other(index.HardLink, "data/l", "data/../../secret")},
		"a link to an absolute path":    {root, other(index.HardLink, "data/l", "/etc/passwd")},
		"a link into another source":    {root, other(index.HardLink, "data/l", "logs/l")},
		"a link to itself":              {root, other(index.HardLink, "data/l", "data/l")},
		"a link to what comes after":    {root, other(index.HardLink, "data/l", "data/m"), regular("data/m", "x")},
		"a link that leads nowhere":     {root, other(index.Symlink, "data/l", "")},
		"a link with NUL":               {root, other(index.Symlink, "data/l", "/etc\x00x").with(noHeaders)},
		"a size beyond all":             is(regular("data/x", "x"), func(e *forgedEntry) { e.Size, e.Data = 1<<62+1, 1<<62+1 }),
		"a size beyond the stream":      is(regular("data/x", "x"), func(e *forgedEntry) { e.Size, e.Data = 1<<40, 1<<40 }),
		"a size that isn't the data's":  is(regular("data/x", "x"), func(e *forgedEntry) { e.data = make([]byte, 5000) }),
		"headers that aren't blocks":    is(regular("data/x", "x"), func(e *forgedEntry) { e.Headers = 700 }),
		"no headers":                    is(regular("data/x", "x"), func(e *forgedEntry) { e.Headers = 512 }),
		"headers beyond the frame":      is(regular("data/x", "x"), func(e *forgedEntry) { e.Headers = 1 << 20 }),
		"another path in the stream":    is(regular("data/x", "x"), says(func(e *index.Entry) { e.Path = "data/../y" })),
		"another type in the stream":    is(regular("data/x", ""), says(func(e *index.Entry) { e.Type = index.FIFO })),
		"another mode in the stream":    is(regular("data/x", "x"), says(func(e *index.Entry) { e.Mode = 0o4755 })),
		"another owner in the stream":   is(regular("data/x", "x"), says(func(e *index.Entry) { e.UID = 7 })),
		"another time in the stream":    is(regular("data/x", "x"), says(func(e *index.Entry) { e.ModTime.Nsec++ })),
		"another size in the stream":    is(regular("data/x", "x"), says(func(e *index.Entry) { e.Data++ })),
		"another target in the stream":  is(other(index.Symlink, "data/x", "a"), says(func(e *index.Entry) { e.Link = "b" })),
		"no checksum in the stream":     is(regular("data/x", "x"), func(e *forgedEntry) { e.headers = make([]byte, 512) }),
		"something after the entries":   {root, dir.with(func(e *forgedEntry) { e.data = make([]byte, 512) })},
		"padding that isn't":            {root, continued("data/x", func(e *forgedEntry) { e.data = append(e.data, "more"...) })},
		"a file that goes on too long":  {root, continued("data/x", func(e *forgedEntry) { e.data = append(e.data, make([]byte, 9000)...) })},
		"a file that ends too early":    {root, continued("data/x", func(e *forgedEntry) { e.data = e.data[:1024] }), dir.with(after)},
		"a sparse map beyond its file":  {root, sparse("data/x", "1\n90\n20\n", 100, 20)},
		"a sparse map that overlaps":    {root, sparse("data/x", "2\n0\n20\n10\n20\n", 100, 40)},
		"a sparse map without an end":   {root, sparse("data/x", "9999999\n", 100, 20)},
		"a sparse map of the wrong sum": {root, sparse("data/x", "1\n0\n10\n", 100, 20)},
	}
}

func noHeaders(e *forgedEntry) {
	e.headers = tarHeaders(&index.Entry{Path: e.Path, Type: e.Type, Link: "x"})
}

func after(e *forgedEntry) { e.Path = "data/y" }

// says makes the stream say something else than the index.
func says(change func(*index.Entry)) func(*forgedEntry) {
	return func(e *forgedEntry) {
		in := e.Entry
		change(&in)
		e.headers = tarHeaders(&in)
	}
}

// continued is a file in several frames.
func continued(path string, change func(*forgedEntry)) forgedEntry {
	return regular(path, strings.Repeat("0123456789", 1000)).with(func(e *forgedEntry) { e.continued = 4096 }).with(change)
}

// sparse is a sparse file with a map.
func sparse(path, sparseMap string, size, data int64) forgedEntry {
	e := regular(path, strings.Repeat("s", int(data)))
	in := e.Entry
	in.Data += 512
	e.headers = append(tarHeaders(&in, "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", path,
		"GNU.sparse.realsize", "100"), pad512([]byte(sparseMap))...)
	e.Size, e.Data, e.Flags = size, data, index.Sparse
	return e
}

// TestAMalformedEntryCostsThatEntryOnly: it is named and not restored, nothing is written outside of the target, and what
// is in other frames is restored.
func TestAMalformedEntryCostsThatEntryOnly(t *testing.T) {
	for name, entries := range hostile() {
		t.Run(name, func(t *testing.T) {
			outside := t.TempDir()
			target := filepath.Join(outside, "a", "b")
			secret := filepath.Join(outside, "secret")
			if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			file := newForgery().add(t, entries...).add(t, regular("data/zzz", "honest")).
				add(t, directoryEntry("logs"), regular("logs/zzz", "honest")).finish(t)
			got, err := restoreInto(t, openForged(t, file), Options{Target: target})
			if err != nil || got.Complete() || len(got.warnings) == 0 {
				t.Errorf("%+v, error %v", got, err)
			}
			assertUntouched(t, outside, secret)
			for _, path := range []string{"data/zzz", "logs/zzz"} {
				content, err := os.ReadFile(filepath.Join(target, path))
				if restorable := path == "logs/zzz" || entries[0].Type == index.Directory; restorable && string(content) != "honest" {
					t.Errorf("%s: %q, %v\n%s", path, content, err, got.text())
				}
			}
		})
	}
}

// assertUntouched fails if anything is outside of the target but the secret, or the secret has a further name.
func assertUntouched(t *testing.T, outside, secret string) {
	t.Helper()
	for _, pattern := range []string{"/*", "/a/*"} {
		names, _ := filepath.Glob(outside + pattern)
		for _, name := range names {
			if name != secret && name != filepath.Join(outside, "a") && name != filepath.Join(outside, "a", "b") {
				t.Errorf("outside the target there is %q", name)
			}
		}
	}
	content, err := os.ReadFile(secret)
	if err != nil || string(content) != "secret" {
		t.Errorf("the secret is %q, %v", content, err)
	}
	if st, err := os.Lstat("/tmp/escaped"); err == nil {
		t.Errorf("%v was written", st)
	}
}

func TestAnHonestForgeryIsRestored(t *testing.T) {
	target := t.TempDir()
	file := forge(t, directoryEntry("data"), continued("data/big", func(*forgedEntry) {}),
		directoryEntry("data/d"), regular("data/d/x", "hello"), other(index.Symlink, "data/l", "/anywhere"),
		sparse("data/s", "2\n0\n10\n90\n10\n", 100, 20))
	got, err := restoreInto(t, openForged(t, file), Options{Target: target})
	if err != nil || !got.Complete() || got.Files != 3 {
		t.Fatalf("%+v, %v\n%s", got.Result, err, got.text())
	}
	for path, want := range map[string]string{
		"data/d/x": "hello", "data/big": strings.Repeat("0123456789", 1000),
		"data/s": "ssssssssss" + strings.Repeat("\x00", 80) + "ssssssssss",
	} {
		if content, err := os.ReadFile(filepath.Join(target, path)); err != nil || string(content) != want {
			t.Errorf("%s: %.50q, %v", path, content, err)
		}
	}
}
