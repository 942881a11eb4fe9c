// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"sync"
	"time"

	"appliance.io/backup-operator/internal/archive"
)

// ticker calls a function at intervals until it is stopped.
type ticker struct {
	done chan struct{}
	wait sync.WaitGroup
}

// every starts a ticker. An interval of 0 makes one that never ticks.
func every(interval time.Duration, tick func()) *ticker {
	t := &ticker{done: make(chan struct{})}
	if interval <= 0 {
		return t
	}
	t.wait.Go(func() {
		clock := time.NewTicker(interval)
		defer clock.Stop()
		for {
			select {
			case <-t.done:
				return
			case <-clock.C:
				tick()
			}
		}
	})
	return t
}

// stop returns when the function isn't running and won't again. A ticker that is nil never ran.
func (t *ticker) stop() {
	if t == nil {
		return
	}
	close(t.done)
	t.wait.Wait()
}

// latest holds the latest of values that one goroutine sets and another reads.
type latest[T any] struct {
	mutex sync.Mutex
	value T
}

func (l *latest[T]) set(v T) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.value = v
}

func (l *latest[T]) get() T {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.value
}

// archiveProgress logs at intervals how far the archive has come.
type archiveProgress struct {
	*ticker
	latest[archive.Progress]
}

func (r *run) watchArchive() *archiveProgress {
	p := &archiveProgress{}
	began := time.Now()
	p.ticker = every(r.config.ProgressInterval, func() {
		r.log.Info("archiving", progressAttributes(p.get(), r.measurement, time.Since(began))...)
	})
	return p
}

// progressAttributes says how far an archive is after a time: what is done, how fast, and what is left if the sources
// are still as they were measured.
func progressAttributes(p archive.Progress, all archive.Measurement, elapsed time.Duration) []any {
	attributes := []any{
		"source", p.Source, "files", p.Files, "ofFiles", all.Files, "bytes", p.BytesRead, "ofBytes", all.Bytes,
		"written", p.BytesWritten,
	}
	if all.Bytes > 0 {
		attributes = append(attributes, "percent", min(100*p.BytesRead/all.Bytes, 100))
	}
	if seconds := elapsed.Seconds(); seconds > 0 && p.BytesRead > 0 {
		rate := float64(p.BytesRead) / seconds
		left := time.Duration(float64(max(all.Bytes-p.BytesRead, 0)) / rate * float64(time.Second))
		attributes = append(attributes, "bytesPerSecond", int64(rate), "left", left.Round(time.Second))
	}
	return attributes
}
