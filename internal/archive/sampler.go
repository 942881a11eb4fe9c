// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"math"
)

// How the size of an archive is estimated: pieces of the tar stream at even distances are made and compressed, and what
// each came to stands for the stream from it to the next. The distance doubles whenever so many pieces have been taken
// at it, so the work grows with the logarithm of the size, and small sources are compressed whole.
const (
	samplePiece     = 256 << 10
	samplesPerLevel = 32
)

// sampler estimates what a part of the tar stream comes to when it is compressed. It is given the entries in order.
type sampler struct {
	compressor *compressor
	buf, out   []byte

	end     int64 // of the stream so far
	step    int64 // distance of samples at present
	next    int64 // where in the stream the next one is
	partial bool  // buf holds the beginning of a sample
	strata  []stratum
}

// stratum is the samples that were taken at one distance.
type stratum struct {
	step        int64
	covered     int64 // bytes of the stream that they stand for
	n           float64
	sum, square float64 // of ratios
}

// add is given the next entry, whose content comes to so many bytes.
func (m *sampler) add(it *item, size int64) {
	start := m.end
	m.end += headerEstimate + size + padding(size)
	switch {
	case isBig(it):
		m.sampleBig(it, start)
	case m.partial || m.next < m.end:
		m.collect(it)
	}
}

// collect adds a small entry to a sample, for small entries share frames.
func (m *sampler) collect(it *item) {
	m.partial = true
	var unreported journal
	m.buf, _ = unreported.appendEntry(m.buf, it)
	m.flushIfFull(m.end)
}

// flushIfFull ends a sample of several entries, up to a position in the stream, if it is big enough.
func (m *sampler) flushIfFull(position int64) {
	if len(m.buf) >= samplePiece {
		m.flush(position)
	}
}

func (m *sampler) flush(position int64) {
	m.sample(m.buf, position)
	m.partial, m.buf = false, m.buf[:0]
}

// sampleBig takes the samples that fall into a big file, which begins at start in the stream.
func (m *sampler) sampleBig(it *item, start int64) {
	if !m.partial && m.next >= m.end {
		return
	}
	c, err := openContent(it)
	if err != nil {
		if c != nil {
			c.release()
		}
		return
	}
	defer c.release()
	if m.partial {
		// A sample that small entries began goes on into the file.
		done, n := len(m.buf), min(c.dataSize(), int64(samplePiece-len(m.buf)))
		m.buf = grow(m.buf, int(n))
		c.read(m.buf[done:], 0)
		if m.flushIfFull(start + n); m.partial {
			return
		}
	}
	m.buf = grow(m.buf[:0], samplePiece)
	for m.next < m.end {
		offset := max(0, min(m.next-start, c.dataSize()-samplePiece))
		piece := m.buf[:min(samplePiece, c.dataSize())]
		c.read(piece, offset)
		m.sample(piece, m.next+samplePiece)
	}
	m.buf = m.buf[:0]
}

// sample counts a piece of the stream that ends before position.
func (m *sampler) sample(piece []byte, position int64) {
	if len(m.strata) == 0 || m.strata[len(m.strata)-1].step != m.step {
		m.strata = append(m.strata, stratum{step: m.step})
	}
	s := &m.strata[len(m.strata)-1]
	next := max(m.next+m.step, position)
	s.covered += next - m.next
	m.next = next
	if len(piece) > 0 {
		m.out = m.compressor.appendFrame(m.out[:0], piece)
		ratio := float64(len(m.out)) / float64(len(piece))
		s.n++
		s.sum += ratio
		s.square += ratio * ratio
	}
	if s.n >= samplesPerLevel {
		m.step *= 2
	}
}

// estimate is the size of the stream when it is compressed, with two standard errors of that, and 2 % for what is written
// meanwhile.
func (m *sampler) estimate() int64 {
	if m.partial {
		m.flush(m.end)
	}
	expected, variance := 0.0, 0.0
	for i, s := range m.strata {
		if i == len(m.strata)-1 {
			// The last sample stands for what there is and no more.
			s.covered -= max(0, m.next-m.end)
		}
		covered, mean := float64(s.covered), 1.0
		if s.n > 0 {
			mean = s.sum / s.n
		}
		expected += covered * mean
		if s.n > 1 && s.step > samplePiece {
			spread := max(0, s.square/s.n-mean*mean) * s.n / (s.n - 1)
			variance += covered * covered * spread / s.n
		}
	}
	return int64(1.02 * (expected + 2*math.Sqrt(variance)))
}
