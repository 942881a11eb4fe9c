// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestFramesDecodeToWhatWentIn(t *testing.T) {
	c, err := newCompressor(0)
	if err != nil {
		t.Fatal(err)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, n := range []int{1, 100, maxRawBlock, maxRawBlock + 1, chunkSize, chunkSize + 511, 2 * chunkSize} {
		for name, data := range map[string][]byte{"random": []byte(random(n, 1)), "zeros": make([]byte, n)} {
			for how, frame := range map[string][]byte{"chosen": c.appendFrame(nil, data), "raw": appendRawFrame(nil, data)} {
				got, err := d.DecodeAll(frame, nil)
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("%d %s bytes, %s: error %v, %d bytes", n, name, how, err, len(got))
				}
				// The command is the reader that people have.
				cmd := exec.Command("zstd", "-dc")
				cmd.Stdin = bytes.NewReader(frame)
				if got, err := cmd.Output(); err != nil || !bytes.Equal(got, data) {
					t.Errorf("zstd -dc, %d %s bytes, %s: error %v, %d bytes", n, name, how, err, len(got))
				}
			}
		}
	}
}

func TestRawFramesAreChecked(t *testing.T) {
	frame := appendRawFrame(nil, []byte(random(1<<20, 1)))
	frame[len(frame)/2] ^= 1
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.DecodeAll(frame, nil); err == nil {
		t.Error("a flipped bit isn't noticed")
	}
}

func TestRandomDataIsTold(t *testing.T) {
	noise := random(chunkSize, 1)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	text := base64.StdEncoding.EncodeToString([]byte(noise)) // 6 bits of every 8
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		data string
		want bool
	}{
		"noise":            {noise, true},
		"compressed":       {zipped.String(), true},
		"text":             {strings.Repeat("all work and no play makes a dull backup\n", 20_000), false},
		"base64":           {text, false},
		"zeros":            {string(make([]byte, chunkSize)), false},
		"noise and zeros":  {noise[:chunkSize*3/4] + string(make([]byte, chunkSize/4)), false},
		"too short to say": {noise[:1000], false},
	}
	for name, test := range tests {
		if got := looksRandom([]byte(test.data)); got != test.want {
			t.Errorf("%s: got %t, want %t", name, got, test.want)
		}
	}
}

func TestIncompressibleDataGrowsByLittle(t *testing.T) {
	data := []byte(random(chunkSize, 1))
	if got := len(appendRawFrame(nil, data)); got > chunkSize+64 {
		t.Errorf("%d bytes became %d", len(data), got)
	}
}

func TestHigherLevelsTakeLessSpace(t *testing.T) {
	var text strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&text, "line %d: user%d did %s in %d ms\n", i, i*7919%1013, random(1, uint64(i))+"x", i*31%977)
	}
	last := text.Len()
	for _, level := range []int{3, 5, 9, 19} {
		c, err := newCompressor(level)
		if err != nil {
			t.Fatal(err)
		}
		size := len(c.appendFrame(nil, []byte(text.String())))
		if size >= last {
			t.Errorf("at level %d it is %d bytes, no less than %d", level, size, last)
		}
		last = size
	}
}
