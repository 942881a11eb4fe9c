// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// The data set at size 1.
const (
	smallFiles = 40_000 // of 1 to 31 KiB
	logs       = 16     // of 50 MiB
	logSize    = 50 << 20
	recordings = 60 // of 10 to 40 MiB
)

// dataSet is what was generated.
type dataSet struct {
	files, bytes int64
}

// generate makes the data set in dir, the same for the same size.
func generate(ctx context.Context, dir string, size float64) (dataSet, error) {
	g := &generator{ctx: ctx, rand: rand.New(rand.NewChaCha8([32]byte{1}))}
	for i := range 5000 {
		g.words = append(g.words, g.word(i))
	}
	scaled := func(n int) int { return max(1, int(float64(n)*size)) }
	for i := range scaled(smallFiles) {
		name := fmt.Sprintf("config/%03d/%02d/item-%05d.json", i%200, i/200%20, i)
		g.file(dir, name, g.between(1<<10, 31<<10), g.object)
	}
	for i := range scaled(logs) {
		g.file(dir, fmt.Sprintf("logs/service-%02d.log", i), logSize, g.logLine)
	}
	for i := range scaled(recordings) {
		g.file(dir, fmt.Sprintf("sessions/%02d/recording-%04d.rec", i%7, i), g.between(10<<20, 40<<20), g.noise)
	}
	return g.set, g.err
}

// generator makes files until the first error.
type generator struct {
	ctx   context.Context
	rand  *rand.Rand
	words []string
	clock int64
	set   dataSet
	err   error
}

func (g *generator) between(low, high int) int { return low + g.rand.IntN(high-low) }

func (g *generator) word(i int) string {
	b := make([]byte, 3+i%8)
	for j := range b {
		b[j] = byte('a' + g.rand.IntN(26))
	}
	return string(b)
}

// pick prefers some words by far, as texts do.
func (g *generator) pick() string {
	f := g.rand.Float64()
	return g.words[int(f*f*f*float64(len(g.words)))]
}

// file writes one file of about the given size from pieces.
func (g *generator) file(dir, name string, size int, piece func(w io.Writer) int) {
	if g.err == nil {
		g.err = g.ctx.Err()
	}
	if g.err != nil {
		return
	}
	path := filepath.Join(dir, name)
	if g.err = os.MkdirAll(filepath.Dir(path), 0o755); g.err != nil {
		return
	}
	f, err := os.Create(path)
	if err != nil {
		g.err = err
		return
	}
	w := bufio.NewWriterSize(f, 1<<20)
	n := 0
	for n < size {
		n += piece(w)
	}
	if g.err = w.Flush(); g.err == nil {
		g.err = f.Close()
	}
	g.set.files++
	g.set.bytes += int64(n)
}

// object is a piece of a configuration file.
func (g *generator) object(w io.Writer) int {
	const form = "{\n  \"id\": \"%016x\",\n  \"name\": \"%s-%s\",\n  \"enabled\": %t,\n" +
		"  \"limit\": %d,\n  \"comment\": \"%s %s %s %s\"\n},\n"
	n, _ := fmt.Fprintf(w, form,
		g.rand.Uint64(), g.pick(), g.pick(), g.rand.IntN(2) == 0, g.rand.IntN(10000), g.pick(), g.pick(), g.pick(), g.pick())
	return n
}

// logLine is a line of a log.
func (g *generator) logLine(w io.Writer) int {
	g.clock += int64(g.rand.IntN(900))
	levels := [...]string{"INFO", "INFO", "INFO", "INFO", "WARN", "ERROR", "DEBUG"}
	const form = "2026-11-22T%02d:%02d:%02d.%03dZ %s [%s] session=%08x user=%s addr=10.%d.%d.%d %s %s %s took=%dms\n"
	n, _ := fmt.Fprintf(w, form,
		g.clock/3600000%24, g.clock/60000%60, g.clock/1000%60, g.clock%1000, levels[g.rand.IntN(len(levels))], g.pick(),
		g.rand.Uint32(), g.pick(), g.rand.IntN(4), g.rand.IntN(256), g.rand.IntN(256),
		g.pick(), g.pick(), g.pick(), g.rand.IntN(5000))
	return n
}

// noise is a piece of a recording, which is compressed or encrypted already.
func (g *generator) noise(w io.Writer) int {
	var b [1024]byte
	for i := 0; i < len(b); i += 8 {
		v := g.rand.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	n, _ := w.Write(b[:])
	return n
}
