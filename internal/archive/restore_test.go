// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var isRoot = os.Geteuid() == 0

// corpus is a tree with all the kinds of files that there are.
func corpus() treetest.Dir { return treetest.Everything() }

// random is n incompressible bytes, the same for the same seed.
func random(n int, seed uint64) string { return treetest.Random(n, seed) }

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

// harmless is what GNU tar says of the corpus although it does the right thing.
var harmless = regexp.MustCompile(`(?m)^tar: (Ignoring unknown extended header keyword 'hdrcharset'` +
	`|.*: implausibly old time stamp .*|.*: time stamp 2242-.* in the future)\n`)

// run fails the test if a command fails or complains.
func run(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	out, err := cmd.CombinedOutput()
	if out = harmless.ReplaceAll(out, nil); err != nil || len(out) > 0 {
		t.Errorf("%s: %v\n%s", cmd, err, out)
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
	told := []Warning{{Source: "data", Path: "socket", Kind: Skipped, Err: "sockets aren't archived"}}
	if diff := cmp.Diff(told, w.warnings, cmp.AllowUnexported(Warning{})); diff != "" {
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
