// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// key names what samples are of.
type key struct {
	filesystem, candidate string
	step                  step
}

// results are all that was measured.
type results struct {
	samples map[key][]sample
	space   map[key][]int64 // bytes
	sent    map[key][]transfer
}

func newResults() *results {
	return &results{samples: map[key][]sample{}, space: map[key][]int64{}, sent: map[key][]transfer{}}
}

// seconds is the median of a step's times; false if there are none.
func (r *results) seconds(k key) (float64, bool) {
	samples := r.samples[k]
	if len(samples) == 0 {
		return 0, false
	}
	return medianOf(samples, func(s sample) float64 { return s.Seconds }), true
}

// occupied is the median of the space, in GiB.
func (r *results) occupied(filesystem, candidate string) (float64, bool) {
	values := r.space[key{filesystem, candidate, space}]
	if len(values) == 0 {
		return 0, false
	}
	return medianOf(values, gib), true
}

// peak is the most memory, in MiB, that a candidate's biggest process ever took.
func (r *results) peak(filesystem, candidate string) (float64, bool) {
	most := int64(0)
	for k, samples := range r.samples {
		if k.filesystem != filesystem || k.candidate != candidate {
			continue
		}
		for _, s := range samples {
			most = max(most, s.PeakBytes)
		}
	}
	return float64(most) / (1 << 20), most > 0
}

// value is the median that a table shows: seconds, or GiB for space.
func (r *results) value(filesystem, candidate string, s step) (float64, bool) {
	if s == space {
		return r.occupied(filesystem, candidate)
	}
	return r.seconds(key{filesystem, candidate, s})
}

// ratio is how much of another candidate's median a candidate's is.
func (r *results) ratio(filesystem, candidate, other string, s step) (float64, bool) {
	a, ok := r.value(filesystem, candidate, s)
	b, okOther := r.value(filesystem, other, s)
	return a / b, ok && okOther && b > 0
}

// medianOf is the middle one of what values, of which there is at least one, say; of an even number of them it is halfway
// between the two in the middle.
func medianOf[T any](values []T, says func(T) float64) float64 {
	said := make([]float64, len(values))
	for i, v := range values {
		said[i] = says(v)
	}
	slices.Sort(said)
	return (said[(len(said)-1)/2] + said[len(said)/2]) / 2
}

func gib(n int64) float64 { return float64(n) / (1 << 30) }
