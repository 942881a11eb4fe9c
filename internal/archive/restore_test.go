// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var isRoot = os.Geteuid() == 0

// corpus is a tree with all the kinds of files that there are. What takes root is in it only for root.
func corpus() treetest.Dir {
	type (
		meta    = treetest.Meta
		dir     = treetest.Dir
		file    = treetest.File
		entries = treetest.Entries
	)
	at := func(sec, nsec int64) meta { return meta{ModTime: time.Unix(sec, nsec)} }
	long := strings.Repeat("n", 255)
	tree := dir{Meta: meta{Mode: 0o751, ModTime: time.Unix(1_500_000_000, 987_654_321)}, Entries: entries{
		"empty directory": dir{},
		"empty file":      file{},
		"small":           file{Content: "hello\n", Meta: at(1_600_000_000, 123_456_789)},
		"compressible":    file{Content: strings.Repeat("all work and no play\n", 200_000)},
		"random":          file{Content: random(5<<20+123, 1)},
		"exactly a chunk": file{Content: random(chunkSize, 2)},
		"almost small":    file{Content: random(smallFile+1, 3)},
		"still small":     file{Content: random(smallFile, 4)},
		"half-tenths":     file{Meta: at(1_600_000_000, 500_000_000)},
		"before 1970":     file{Meta: at(-2, 250_000_000)},
		"whole seconds":   file{Meta: at(1_234_567_890, 0)},
		"modes": dir{Meta: meta{Mode: 0o3775}, Entries: entries{
			"setuid": file{Meta: meta{Mode: 0o4755}}, "setgid": file{Meta: meta{Mode: 0o2755}},
			"none": file{Meta: meta{Mode: 0o400}}, "sticky": dir{Meta: meta{Mode: 0o1777}},
		}},
		"links": dir{Entries: entries{
			"first": file{Content: "one file, three names"}, "second": treetest.HardLink{To: "links/first"},
			"sub":        dir{Entries: entries{"third": treetest.HardLink{To: "links/first"}}},
			"big":        file{Content: random(2<<20, 5)},
			"bigger":     treetest.HardLink{To: "links/big"},
			"relative":   treetest.Symlink{Target: "../small", Meta: at(1_400_000_000, 5)},
			"dangling":   treetest.Symlink{Target: "/nowhere/at all"},
			"long":       treetest.Symlink{Target: strings.Repeat("../", 300) + "x"},
			"no utf-8":   treetest.Symlink{Target: "t\xffarget"},
			"s link":     treetest.HardLink{To: "links/relative"},
			"of a pipe":  treetest.HardLink{To: "fifo"},
			"no utf-8 2": treetest.Symlink{Target: strings.Repeat("\xfe/", 80)},
		}},
		"fifo":   treetest.FIFO{},
		"socket": treetest.Socket{},
		"names": dir{Entries: entries{
			long:                         file{Content: "long"},
			long[1:]:                     dir{Entries: entries{long: dir{Entries: entries{long: file{Content: "longer"}}}}},
			"\xff\xfe not utf-8":         file{Content: "bytes"},
			strings.Repeat("\xe4", 200):  file{Content: "long bytes"},
			strings.Repeat("ü", 120):     file{Content: "long UTF-8"},
			strings.Repeat("d", 110):     dir{},
			"new\nline":                  file{},
			"tab\tquote\"back\\slash":    file{},
			"-rf":                        file{},
			" spaces ":                   file{},
			"größe=日本":                   file{},
			"PaxHeaders":                 dir{Entries: entries{"x": file{Content: "x"}}},
			long[2:]:                     file{Content: "long first name"},
			"z" + long[3:]:               treetest.HardLink{To: "names/" + long[2:]},
			"sparse" + long[:200]:        treetest.Sparse{Size: 1 << 20, Data: map[int64]string{4096: "x"}},
			"sparse\xff" + long[:100]:    treetest.Sparse{Size: 1 << 20, Data: map[int64]string{4096: "x"}},
			strings.Repeat("p", 50) + "": dir{Entries: entries{strings.Repeat("q", 90): file{Content: "prefix"}}},
		}},
		"sparse": dir{Entries: entries{
			"all hole":   treetest.Sparse{Size: 3 << 20},
			"data first": treetest.Sparse{Size: 1 << 20, Data: map[int64]string{0: random(5000, 6)}},
			"data last":  treetest.Sparse{Size: 1<<20 + 100, Data: map[int64]string{1 << 20: random(100, 7)}},
			"middle": treetest.Sparse{Size: 9<<20 + 1, Data: map[int64]string{
				1 << 20: random(1<<20+1, 8), 5 << 20: "five", 7<<20 + 4095: "seven"}},
			"over 8 GiB": treetest.Sparse{Size: 9 << 30, Data: map[int64]string{
				0: "first", 8<<30 + 4096: random(3<<20, 9)}},
			"many holes": manyHoles(300),
		}},
		"xattrs": dir{Meta: meta{Xattrs: map[string]string{"user.dir": "directory"}}, Entries: entries{
			"text":   file{Meta: meta{Xattrs: map[string]string{"user.b": "2", "user.a": "1", "user.empty": ""}}},
			"binary": file{Meta: meta{Xattrs: map[string]string{"user.bin": "\x00\x01\n=\xff", "user.long": random(3000, 10)}}},
		}},
		"acls": dir{Meta: meta{ACL: "u:1234:rwx,d:u:1234:rw,d:g:77:r"}, Entries: entries{
			"file": file{Meta: meta{Mode: 0o640, ACL: "u:1234:rw,u:99999:r,g:77:---"}},
		}},
	}}
	if isRoot {
		tree.Entries["root's"] = dir{Meta: meta{UID: 1000, GID: 1001}, Entries: entries{
			"owned":       file{Meta: meta{UID: 1234, GID: 5678, Mode: 0o6711}},
			"big ids":     file{Meta: meta{UID: 3_000_000_000, GID: 2_097_152}},
			"owned link":  treetest.Symlink{Target: "x", Meta: meta{UID: 7, GID: 8}},
			"null":        treetest.Device{Major: 1, Minor: 3, Meta: meta{Mode: 0o666}},
			"block":       treetest.Device{Block: true, Major: 259, Minor: 1 << 19},
			"secret":      file{Content: "s", Meta: meta{Mode: 0o000, UID: 42}},
			"acl on pipe": treetest.FIFO{Meta: meta{ACL: "u:1:rw"}},
		}}
	}
	return tree
}

// manyHoles is a sparse file with n pieces of data.
func manyHoles(n int64) treetest.Sparse {
	data := map[int64]string{}
	for i := range n {
		data[i*64<<10] = fmt.Sprint("piece ", i)
	}
	return treetest.Sparse{Size: n * 64 << 10, Data: data}
}

// random is n incompressible bytes, the same for the same seed.
func random(n int, seed uint64) string {
	b := make([]byte, n)
	var key [32]byte
	key[0] = byte(seed)
	_, _ = rand.NewChaCha8(key).Read(b)
	return string(b)
}

// built makes the corpus and returns where.
func built(t testing.TB, tree treetest.Dir) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "source")
	treetest.Build(t, root, tree)
	return root
}

// written is an archive that a test wrote.
type written struct {
	path      string
	result    Result
	warnings  []Warning
	checksums []byte
}

func write(t testing.TB, opts Options, sources ...Source) written {
	t.Helper()
	w, err := tryWrite(t, t.Context(), opts, sources...)
	if err != nil {
		t.Fatalf("write archive: %v", err)
	}
	return w
}

func tryWrite(t testing.TB, ctx context.Context, opts Options, sources ...Source) (written, error) {
	t.Helper()
	w := written{path: filepath.Join(t.TempDir(), "archive.tar.zst")}
	f, err := os.Create(w.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	warn := opts.Warn
	opts.Warn = func(x Warning) {
		w.warnings = append(w.warnings, x)
		if warn != nil {
			warn(x)
		}
	}
	var checksums bytes.Buffer
	if opts.Checksums == nil {
		opts.Checksums = &checksums
	}
	if opts.flush == nil {
		// What others write to the same disk would go there now, and takes its time.
		opts.flush = func(int) error { return nil }
	}
	w.result, err = Write(ctx, f, sources, opts)
	w.checksums = checksums.Bytes()
	return w, err
}

// bytes is the archive as it is stored.
func (w written) bytes(t testing.TB) []byte {
	t.Helper()
	file, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// tarBytes is the decompressed archive.
func (w written) tarBytes(t testing.TB) []byte {
	t.Helper()
	out, err := exec.Command("zstd", "-dc", w.path).Output()
	if err != nil {
		t.Fatalf("zstd: %v", err)
	}
	return out
}

// harmless is what GNU tar says although it does the right thing: hdrcharset tells other readers what it does anyhow.
var harmless = regexp.MustCompile(`(?m)^tar: (Ignoring unknown extended header keyword 'hdrcharset'|.*: implausibly old time stamp .*)\n`)

// run fails the test if a command fails or complains.
func run(t testing.TB, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if out = harmless.ReplaceAll(out, nil); err != nil || len(out) > 0 {
		t.Errorf("%s: %v\n%s", cmd, err, out)
	}
}

func TestStockToolsRestoreEverything(t *testing.T) {
	root := built(t, corpus())
	w := write(t, Options{Concurrency: 3}, Source{Name: "data", Path: root})
	gnu := []string{"tar", "--zstd", "--xattrs", "--acls", "-xpf", w.path}
	tests := map[string]struct {
		command []string
		locale  string
		but     string // what the tool can't do
	}{
		"GNU tar in C":             {gnu, "C", ""},
		"GNU tar in UTF-8":         {gnu, "C.UTF-8", ""},
		"GNU tar finds the format": {[]string{"tar", "--xattrs", "--acls", "-xpf", w.path}, "C", ""},
		// bsdtar takes -1.75 for -1 and 0.75.
		"bsdtar": {[]string{"bsdtar", "-xpf", w.path}, "C.UTF-8", "before 1970"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			target := t.TempDir()
			run(t, []string{"LC_ALL=" + test.locale}, test.command[0], append(test.command[1:], "-C", target)...)
			treetest.AssertEqualBut(t, root, filepath.Join(target, "data"), func(p string) bool {
				return p == "socket" || p == test.but
			})
		})
	}
}

func TestSummaryCountsWhatIsThere(t *testing.T) {
	root := built(t, treetest.Dir{Entries: treetest.Entries{
		"a":      treetest.File{Content: "12345"},
		"b":      treetest.HardLink{To: "a"},
		"d":      treetest.Dir{Entries: treetest.Entries{"f": treetest.File{Content: random(3<<20, 1)}}},
		"h":      treetest.Sparse{Size: 1 << 30, Data: map[int64]string{0: random(4096, 2)}},
		"link":   treetest.Symlink{Target: "a"},
		"pipe":   treetest.FIFO{},
		"socket": treetest.Socket{},
		"x.tmp":  treetest.File{Content: "x"},
	}})
	other := built(t, treetest.Dir{Entries: treetest.Entries{"one": treetest.File{Content: "1"}}})
	var last Progress
	w := write(t, Options{Progress: func(p Progress) {
		if p.Files < last.Files || p.BytesRead < last.BytesRead || p.BytesWritten < last.BytesWritten {
			t.Errorf("progress went back from %+v to %+v", last, p)
		}
		last = p
	}}, Source{Name: "data", Path: root, Exclude: []string{"*.tmp"}}, Source{Name: "other", Path: other})

	content := int64(5 + 3<<20 + 4096)
	want := Summary{
		Complete: true,
		Entries:  10, Files: 4, Directories: 3, HardLinks: 1, Symlinks: 1, Specials: 1, Skipped: 1, Excluded: 1,
		BytesRead: content + 1,
		Sources: []SourceSummary{
			{Name: "data", Entries: 8, Files: 3, Bytes: content},
			{Name: "other", Entries: 2, Files: 1, Bytes: 1},
		},
	}
	got := w.result.Summary
	want.BytesTar, want.BytesWritten = int64(len(w.tarBytes(t))), got.BytesWritten
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	file, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(file)) != w.result.Size {
		t.Errorf("the file's size is %d; reported %d", len(file), w.result.Size)
	}
	if last.Files != got.Files || last.BytesRead != got.BytesRead || last.BytesWritten == 0 {
		t.Errorf("last progress %+v doesn't agree with the summary %+v", last, got)
	}
	if diff := cmp.Diff([]Warning{{Source: "data", Path: "socket", Kind: Skipped, Err: "sockets aren't archived"}}, w.warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestSameTreeGivesSameTar(t *testing.T) {
	root := built(t, corpus())
	source := Source{Name: "data", Path: root}
	one := write(t, Options{Concurrency: 1}, source)
	eight := write(t, Options{Concurrency: 8}, source)
	better := write(t, Options{Level: 7}, source)
	if !bytes.Equal(one.bytes(t), eight.bytes(t)) {
		t.Error("the number of workers changes the archive")
	}
	if !bytes.Equal(one.tarBytes(t), better.tarBytes(t)) {
		t.Error("the level changes the tar stream")
	}
}

func TestInvalidSettingsWriteNothing(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := Source{Name: "data", Path: root}
	tests := map[string]struct {
		sources []Source
		opts    Options
		want    error
	}{
		"no source":         {nil, Options{}, ErrInvalidSource},
		"no name":           {[]Source{{Path: root}}, Options{}, ErrInvalidSource},
		"name with a slash": {[]Source{{Name: "a/b", Path: root}}, Options{}, ErrInvalidSource},
		"name of dots":      {[]Source{{Name: "..", Path: root}}, Options{}, ErrInvalidSource},
		"name twice":        {[]Source{good, good}, Options{}, ErrInvalidSource},
		"missing":           {[]Source{{Name: "data", Path: root + "/missing"}}, Options{}, unix.ENOENT},
		"a file":            {[]Source{{Name: "data", Path: file}}, Options{}, unix.ENOTDIR},
		"bad pattern":       {[]Source{{Name: "data", Path: root, Exclude: []string{"[a"}}}, Options{}, ErrInvalidExclude},
		"level":             {[]Source{good}, Options{Level: 20}, ErrInvalidLevel},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w, err := tryWrite(t, t.Context(), test.opts, test.sources...)
			if !errors.Is(err, test.want) {
				t.Errorf("got error %v, want %v", err, test.want)
			}
			if st, err := os.Stat(w.path); err != nil || st.Size() != 0 {
				t.Errorf("something was written: %v %v", st.Size(), err)
			}
		})
	}
}
