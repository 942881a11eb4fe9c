// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
	"golang.org/x/sys/unix"
)

// randomBits is a number of a random length in bits: each has its share.
func randomBits(random *rand.Rand) uint64 { return random.Uint64() >> random.IntN(64) }

// randomStat is what a file system may say of a file, over all the bits that it can say it in.
func randomStat(random *rand.Rand) stat {
	sign := func() int64 { return int64(1 - 2*random.IntN(2)) }
	when := func() timestamp {
		return newTimestamp(sign()*int64(randomBits(random)), sign()*int64(randomBits(random)))
	}
	return stat{
		mode: uint32(random.Uint64()), uid: uint32(randomBits(random)), gid: uint32(randomBits(random)),
		size: int64(randomBits(random) >> 1), mtime: when(), ctime: when(), id: fileID{ino: randomBits(random)},
		rdev: randomBits(random),
	}
}

// TestEveryHeaderThatIsWrittenCanBeRead writes headers and index entries of any numbers, and reads them.
func TestEveryHeaderThatIsWrittenCanBeRead(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		st := randomStat(random)
		it := &item{path: "data/x", stat: st}
		types := []byte{index.Regular, index.Regular, index.Directory, index.Character, index.Device, index.FIFO}
		h := newHeader(&st, it.path)
		h.typ = types[random.IntN(len(types))]
		e := newEntry(it, &st, h.typ)
		var sparseMap []byte
		switch {
		case h.typ == index.Regular && random.IntN(2) == 0:
			// A file with nothing but a hole may be of any size.
			sparseMap = makeSparse(h, nil, st.size)
			e.Size, e.Flags = st.size, index.Sparse
		case h.typ == index.Regular:
			h.size = st.size
			e.Size, e.Data = st.size, st.size
		case h.typ == index.Character || h.typ == index.Device:
			h.major, h.minor = unix.Major(st.rdev), unix.Minor(st.rdev)
		}
		raw := append(appendHeader(nil, h), sparseMap...)
		e.Headers = int64(len(raw))
		got, err := tarstream.Parse(raw)
		if err == nil {
			err = got.Agree(&e)
		}
		if err != nil || got.Major != h.major || got.Minor != h.minor {
			t.Fatalf("%+v: %+v, %v", st, got, err)
		}
		block := &index.Block{
			Frames: []index.Frame{{Stored: index.Alignment, Content: 512, Entries: 1}}, Entries: []index.Entry{e},
		}
		var read index.Block
		if err := index.DecodeBlock(index.AppendBlock(nil, block), &read); err != nil || read.Entries[0] != e {
			t.Fatalf("%+v is read from the index as %+v, %v", e, read.Entries, err)
		}
	}
}

func TestNanosecondsBeyondASecondAreSeconds(t *testing.T) {
	for _, c := range []struct {
		sec, nsec int64
		want      timestamp
	}{
		{5, 999_999_999, timestamp{5, 999_999_999}},
		{5, 1_073_741_823, timestamp{6, 73_741_823}}, // all 30 bits of ext4's
		{5, -1, timestamp{4, 999_999_999}},
		{math.MaxInt64, 2_000_000_000, timestamp{math.MaxInt64, 999_999_999}},
		{math.MinInt64, -1, timestamp{math.MinInt64, 0}},
	} {
		if got := newTimestamp(c.sec, c.nsec); got != c.want {
			t.Errorf("%d s and %d ns are %+v, want %+v", c.sec, c.nsec, got, c.want)
		}
	}
}

// TestTimesOutOfRangeAreArchived on a file system that takes any.
func TestTimesOutOfRangeAreArchived(t *testing.T) {
	root := t.TempDir()
	mount(t, root)
	for i, sec := range []int64{math.MinInt64, -1<<62 - 1, -1 << 62, 1 << 62, 1<<62 + 1, math.MaxInt64} {
		path := filepath.Join(root, fmt.Sprint(i))
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		times := []unix.Timespec{{Sec: sec, Nsec: 5}, {Sec: sec, Nsec: 5}}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, times, 0); err != nil {
			t.Fatal(err)
		}
	}
	w := write(t, Options{}, Source{Name: "data", Path: root})
	if v, err := verify(t, contentOf(t, w)); err != nil || v.Problems > 0 {
		t.Errorf("%v\n%s", err, v.text())
	}
	if s := w.result.Summary; !s.Complete || s.Files != 6 {
		t.Errorf("%+v", s)
	}
	run(t, "sh", "-c", `tar --zstd -tf "$0" >/dev/null`, w.path)
}
