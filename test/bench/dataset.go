// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
)

// The data set at size 1: 3 GiB. At a smaller size there are fewer files, and where less than one would be left, it is
// smaller by as much.
const (
	smallFiles = 40_000 // of 1 to 31 KiB
	logs       = 20     // of 50 MiB
	logSize    = 50 << 20
	recordings = 60 // of 10 to 40 MiB, which don't compress
)

// dataSet is a tree like an appliance's. It is the same for the same size, also after the same number of days.
type dataSet struct {
	root  string
	size  float64
	words []string
	day   int // of the last churn

	// What is there now.
	small, logs []string
	recordings  int
}

func newDataSet(root string, size float64) *dataSet {
	return &dataSet{root: root, size: size, words: newWords()}
}

// generate makes the files of day 0. The root must be empty or not exist.
func (d *dataSet) generate(ctx context.Context) error {
	n, scale := scaled(smallFiles, d.size)
	for i := range n {
		d.small = append(d.small, smallName(i))
		if err := d.writeSmall(ctx, smallName(i), scale); err != nil {
			return err
		}
	}
	n, scale = scaled(logs, d.size)
	for i := range n {
		name := fmt.Sprintf("logs/service-%02d.log", i)
		d.logs = append(d.logs, name)
		if err := d.appendLog(ctx, name, int(logSize*scale)); err != nil {
			return err
		}
	}
	n, scale = scaled(recordings, d.size)
	for range n {
		if err := d.addRecording(ctx, scale); err != nil {
			return err
		}
	}
	return nil
}

// scaled returns how many files of a kind there are at a size, and by which factor they are smaller.
func scaled(count int, size float64) (n int, scale float64) {
	want := float64(count) * size
	if want >= 1 {
		return int(math.Round(want)), 1
	}
	return 1, want
}

func smallName(i int) string {
	return fmt.Sprintf("config/%03d/%02d/item-%06d.json", i%200, i/200%20, i)
}

// probe is the small file that is restored alone. No churn touches it.
func (d *dataSet) probe() string { return d.small[len(d.small)/2] }

func (d *dataSet) writeSmall(ctx context.Context, name string, scale float64) error {
	c := d.content(name)
	size := float64(c.between(1<<10, 31<<10)) * scale
	return d.write(ctx, name, os.O_CREATE|os.O_TRUNC, int(size), c.object)
}

func (d *dataSet) appendLog(ctx context.Context, name string, size int) error {
	return d.write(ctx, name, os.O_CREATE|os.O_APPEND, size, d.content(name).logLine)
}

func (d *dataSet) addRecording(ctx context.Context, scale float64) error {
	name := fmt.Sprintf("sessions/%02d/recording-%05d.rec", d.recordings%7, d.recordings)
	d.recordings++
	c := d.content(name)
	size := float64(c.between(10<<20, 40<<20)) * scale
	return d.write(ctx, name, os.O_CREATE|os.O_TRUNC, int(size), c.noise)
}

// content is what a file gets on this day.
func (d *dataSet) content(name string) *content {
	return newContent(d.words, fmt.Sprintf("%s on day %d", name, d.day))
}

// write writes pieces to a file until they are as big as size.
func (d *dataSet) write(ctx context.Context, name string, flags, size int, piece func(io.Writer) (int, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path := filepath.Join(d.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|flags, 0o640)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	for written := 0; written < size; {
		n, err := piece(w)
		if err != nil {
			return err
		}
		written += n
	}
	return w.Flush()
}
