// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
)

// content makes the bytes of files, the same for the same seed.
type content struct {
	rand  *rand.Rand
	words []string
	clock int64 // milliseconds, of a log's lines
}

// newContent makes the content of one state of one file.
func newContent(words []string, seed string) *content {
	return &content{rand: rand.New(rand.NewChaCha8(sha256.Sum256([]byte(seed)))), words: words}
}

// newWords makes the vocabulary of all texts.
func newWords() []string {
	r := rand.New(rand.NewChaCha8(sha256.Sum256([]byte("words"))))
	words := make([]string, 5000)
	for i := range words {
		b := make([]byte, 3+i%8)
		for j := range b {
			b[j] = byte('a' + r.IntN(26))
		}
		words[i] = string(b)
	}
	return words
}

func (c *content) between(low, high int) int { return low + c.rand.IntN(max(1, high-low)) }

// pick prefers some words by far, as texts do.
func (c *content) pick() string {
	f := c.rand.Float64()
	return c.words[int(f*f*f*float64(len(c.words)))]
}

// object writes a piece of a configuration file.
func (c *content) object(w io.Writer) (int, error) {
	const form = "{\n  \"id\": \"%016x\",\n  \"name\": \"%s-%s\",\n  \"enabled\": %t,\n" +
		"  \"limit\": %d,\n  \"comment\": \"%s %s %s %s\"\n},\n"
	return fmt.Fprintf(w, form,
		c.rand.Uint64(), c.pick(), c.pick(), c.rand.IntN(2) == 0, c.rand.IntN(10000), c.pick(), c.pick(), c.pick(), c.pick())
}

// logLine writes a line of a log.
func (c *content) logLine(w io.Writer) (int, error) {
	c.clock += int64(c.rand.IntN(900))
	levels := [...]string{"INFO", "INFO", "INFO", "INFO", "WARN", "ERROR", "DEBUG"}
	const form = "2026-11-22T%02d:%02d:%02d.%03dZ %s [%s] session=%08x user=%s addr=10.%d.%d.%d %s %s %s took=%dms\n"
	return fmt.Fprintf(w, form,
		c.clock/3600000%24, c.clock/60000%60, c.clock/1000%60, c.clock%1000, levels[c.rand.IntN(len(levels))], c.pick(),
		c.rand.Uint32(), c.pick(), c.rand.IntN(4), c.rand.IntN(256), c.rand.IntN(256),
		c.pick(), c.pick(), c.pick(), c.rand.IntN(5000))
}

// noise writes a piece of a recording, which is compressed or encrypted already.
func (c *content) noise(w io.Writer) (int, error) {
	var b [1024]byte
	for i := 0; i < len(b); i += 8 {
		v := c.rand.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	return w.Write(b[:])
}
