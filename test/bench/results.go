// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"slices"
)

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
	var values []float64
	for _, s := range r.samples[k] {
		values = append(values, s.Seconds)
	}
	return median(values)
}

// occupied is the median of the space, in GiB.
func (r *results) occupied(filesystem, candidate string) (float64, bool) {
	bytes, ok := median(r.space[key{filesystem, candidate, space}])
	return gib(bytes), ok
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

// median is the middle value, of an even number the lower one of the two in the middle; false if there are none.
func median[T cmp.Ordered](values []T) (T, bool) {
	if len(values) == 0 {
		var none T
		return none, false
	}
	return slices.Sorted(slices.Values(values))[(len(values)-1)/2], true
}

func gib(n int64) float64 { return float64(n) / (1 << 30) }
