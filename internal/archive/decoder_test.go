// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"errors"
	"testing"

	"appliance.io/backup-operator/internal/archive/index"
	"github.com/klauspost/compress/zstd"
)

func TestContentIsExactlyWhatTheIndexSays(t *testing.T) {
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := NewDecoder(1)
	defer d.Close()
	in := bytes.Repeat([]byte("appliance "), 100_000)
	frame := appendPad(encoder.EncodeAll(in, nil), 0)
	bomb := append(bytes.Clone(frame), frame...)
	unsaid := &bytes.Buffer{} // The frame of a stream doesn't say its size.
	streaming, err := zstd.NewWriter(unsaid)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := streaming.Write(in); err != nil {
			t.Fatal(err)
		}
	}
	if err := streaming.Close(); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		name    string
		stored  []byte
		content int
		want    error
	}{
		{"right", frame, len(in), nil},
		{"the index says less", frame, len(in) - 1, ErrDamaged},
		{"the index says more", frame, len(in) + 1, ErrDamaged},
		{"two frames for one", bomb, len(in), ErrDamaged},
		{"two frames that come to what the index says", bomb, 2 * len(in), nil},
		{"a frame that doesn't say how much there is", unsaid.Bytes(), len(in), ErrDamaged},
		{"no frame", make([]byte, 4096), len(in), ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := d.Content([]byte("before"), c.stored, index.Frame{Content: int64(c.content)})
			if !errors.Is(err, c.want) || err != nil && c.want == nil {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if limit := 2 * (c.content + 4096); cap(out) > limit {
				t.Errorf("%d bytes were allocated, for %d of content", cap(out), c.content)
			}
			if err == nil && !bytes.Equal(out[len("before"):], bytes.Repeat(in, c.content/len(in))) {
				t.Error("the content isn't what was compressed")
			}
		})
	}
}

func TestPadFillsUpToWholeBlocks(t *testing.T) {
	for n := range 2*index.Alignment + 1 {
		dst := appendPad(make([]byte, 5+n), 5)
		if got := len(dst) - 5; got%index.Alignment != 0 || got < n || got-n > index.Alignment+skippableSize {
			t.Fatalf("%d bytes became %d", n, got)
		}
	}
}
