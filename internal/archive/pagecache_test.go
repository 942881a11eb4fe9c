// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// diskDir is an empty directory on a file system that isn't all cache.
func diskDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	if s.Type != unix.TMPFS_MAGIC {
		return dir
	}
	dir, err := os.MkdirTemp("/var/tmp", "backup-operator-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// cachedFile is a file whose pages in the cache can be counted. The kernel has reasons of its own to keep a page, or to
// take one away when memory is short, so tests allow for some.
type cachedFile struct {
	*os.File
	size int64
}

// newCachedFile makes a file on disk, of which the part up to hot is in the page cache and the rest isn't.
func newCachedFile(t *testing.T, dir, name string, size, hot int64) cachedFile {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.WriteString(random(int(size), uint64(size))); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	DropCached(f)
	// Without this, the kernel reads more than it is asked for.
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
		t.Fatal(err)
	}
	for range 2 { // What was asked for twice is the last to go when memory is short.
		if _, err := f.ReadAt(make([]byte, hot), 0); err != nil {
			t.Fatal(err)
		}
	}
	return cachedFile{f, size}
}

// cached counts the pages of a range that are cached.
func (f cachedFile) cached(t *testing.T, from, to int64) int64 {
	t.Helper()
	n, err := pagesCached(int(f.Fd()), from, to-from)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (f cachedFile) cachedAll(t *testing.T) int64 {
	t.Helper()
	return f.cached(t, 0, f.size)
}

// checkCached fails the test unless the range is cached, or isn't, for the most part.
func checkCached(t *testing.T, what string, got, all int64, want bool) {
	t.Helper()
	if want && got < all*3/4 {
		t.Errorf("%s: %d of %d pages are cached, too few", what, got, all)
	}
	if !want && got > all/50+2 {
		t.Errorf("%s: %d of %d pages are cached, too many", what, got, all)
	}
}

func pages(bytes int64) int64 {
	page := int64(os.Getpagesize())
	return (bytes + page - 1) / page
}

// forgetDontCache makes a test begin as if nothing were known of file systems, or as if none knew RWF_DONTCACHE.
func forgetDontCache(t *testing.T, dir string, works bool) {
	t.Helper()
	dontCache.Clear()
	t.Cleanup(dontCache.Clear)
	if works {
		return
	}
	var s unix.Stat_t
	if err := unix.Stat(dir, &s); err != nil {
		t.Fatal(err)
	}
	dontCache.Store(uint64(s.Dev), false)
}

func TestPageCacheIsLeftAsItWasFound(t *testing.T) {
	for name, dontCacheWorks := range map[string]bool{"with RWF_DONTCACHE": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			dir := diskDir(t)
			forgetDontCache(t, dir, dontCacheWorks)
			source := filepath.Join(dir, "source")
			if err := os.Mkdir(source, 0o755); err != nil {
				t.Fatal(err)
			}
			half := newCachedFile(t, source, "half", 40*mib+1, 16*mib)
			set := map[string][]cachedFile{}
			add := func(kind string, size int64, hot bool) {
				cached := int64(0)
				if hot {
					cached = size
				}
				f := newCachedFile(t, source, fmt.Sprintf("%s-%d", kind, size), size, cached)
				set[kind] = append(set[kind], f)
			}
			for _, size := range []int64{40*mib + 1000, 20 * mib, 3*mib + 5} {
				add("big-hot", size, true)
				add("big-cold", size, false)
			}
			for i := range int64(40) {
				add("small-hot", 1+7_000*i, true)
				add("small-cold", 1+7_000*i, false)
			}
			count := func(kind string) (cached, all int64) {
				for _, f := range set[kind] {
					cached, all = cached+f.cachedAll(t), all+pages(f.size)
				}
				return cached, all
			}
			check := func(when string) {
				t.Helper()
				for kind, hot := range map[string]bool{"big-hot": true, "big-cold": false, "small-hot": true, "small-cold": false} {
					cached, all := count(kind)
					checkCached(t, when+", "+kind, cached, all, hot)
				}
				checkCached(t, when+", hot half", half.cached(t, 0, 16*mib), pages(16*mib), true)
				checkCached(t, when+", cold half", half.cached(t, 16*mib, half.size), pages(24*mib), false)
			}
			check("before")
			w := write(t, Options{Concurrency: 2}, Source{Name: "data", Path: source})
			check("after")
			made := openCached(t, w.path)
			checkCached(t, "the archive", made.cachedAll(t), pages(made.size), false)
		})
	}
}

func openCached(t *testing.T, path string) cachedFile {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return cachedFile{f, st.Size()}
}

func TestUncachedReader(t *testing.T) {
	const size = 100*mib + 10
	dir := diskDir(t)
	f := newCachedFile(t, dir, "file", size, 8*mib)
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_NORMAL); err != nil {
		t.Fatal(err)
	}
	r := NewUncached(f.File)
	buf, peak := make([]byte, mib), int64(0)
	for offset := int64(0); offset < 100*mib; offset += mib {
		if n, err := r.ReadAt(buf, offset); n != mib || err != nil {
			t.Fatalf("at %d: %d bytes, error %v", offset, n, err)
		}
		peak = max(peak, f.cachedAll(t))
	}
	if n, err := r.ReadAt(buf, 100*mib); n != 10 || err == nil || err.Error() != "EOF" {
		t.Errorf("at the end: %d bytes, error %v", n, err)
	}
	if limit := pages(70 * mib); peak > limit {
		t.Errorf("%d pages were cached at a time, more than %d", peak, limit)
	}
	t.Logf("at most %d pages were cached at a time", peak)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	checkCached(t, "what was cached before", f.cached(t, 0, 8*mib), pages(8*mib), true)
	checkCached(t, "the rest", f.cached(t, 8*mib, size), pages(size-8*mib), false)
	var path *os.PathError
	if _, err := r.ReadAt(buf, -1); !errors.As(err, &path) || path.Path != f.Name() {
		t.Errorf("error %v doesn't name the file", err)
	}
}

func TestPagesAreCountedAlike(t *testing.T) {
	f := newCachedFile(t, diskDir(t), "file", 9*mib+1, 4*mib)
	for _, r := range []struct {
		from, to int64
		want     bool
	}{{0, 4096, true}, {0, 4 * mib, true}, {mib, 2 * mib, true}, {4 * mib, 9*mib + 1, false}} {
		got, err := pagesMapped(int(f.Fd()), r.from, r.to-r.from)
		if err != nil {
			t.Fatal(err)
		}
		checkCached(t, fmt.Sprintf("from %d to %d", r.from, r.to), got, pages(r.to-r.from), r.want)
	}
}

func TestSurvey(t *testing.T) {
	const page = 4096
	for name, c := range map[string]struct {
		size   int64
		cached []int64 // offsets
		want   []extent
		most   int // calls
	}{
		"all cold":                       {3*mib + 1, nil, []extent{{0, 3*mib + page}}, 1},
		"one page":                       {1, nil, []extent{{0, page}}, 1},
		"one page, hot":                  {1, []int64{0}, nil, 1},
		"first page":                     {4 * mib, []int64{0}, []extent{{mib, 3 * mib}}, 7},
		"last page":                      {4*mib + 1, []int64{4 * mib}, []extent{{0, 4 * mib}}, 9},
		"in the middle":                  {8 * mib, []int64{5*mib - page}, []extent{{0, 4 * mib}, {5 * mib, 3 * mib}}, 15},
		"a bit everywhere":               {3 * mib, []int64{0, mib, 2 * mib}, nil, 5},
		"bigger pieces of a bigger file": {4 << 40, []int64{0}, []extent{{4 << 30, 4<<40 - 4<<30}}, 40},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			count := func(_ int, offset, length int64) (int64, error) {
				calls++
				n := int64(0)
				for _, at := range c.cached {
					if at >= offset && at < offset+length {
						n++
					}
				}
				return n, nil
			}
			got, err := survey(count, -1, c.size)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(extent{})); diff != "" {
				t.Errorf("cold parts (-want +got):\n%s", diff)
			}
			if calls > c.most {
				t.Errorf("%d calls, more than %d", calls, c.most)
			}
		})
	}
}

func TestSurveyOfWhatIsAllCachedAsksOnce(t *testing.T) {
	calls := 0
	_, err := survey(func(_ int, _, length int64) (int64, error) { calls++; return length / 4096, nil }, -1, 100*mib)
	if calls != 1 || err != nil {
		t.Errorf("%d calls, error %v", calls, err)
	}
}
