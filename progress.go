// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"sync"
	"time"
)

// watcher tells at intervals how far something is that another goroutine does.
type watcher[T any] struct {
	mutex sync.Mutex
	value T
	done  chan struct{}
	wait  sync.WaitGroup
}

// watch starts a watcher. With an interval of 0 it never tells.
func watch[T any](interval time.Duration, tell func(T)) *watcher[T] {
	w := &watcher[T]{done: make(chan struct{})}
	if interval <= 0 {
		return w
	}
	w.wait.Go(func() {
		clock := time.NewTicker(interval)
		defer clock.Stop()
		for {
			select {
			case <-w.done:
				return
			case <-clock.C:
				tell(w.get())
			}
		}
	})
	return w
}

func (w *watcher[T]) set(v T) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.value = v
}

func (w *watcher[T]) get() T {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.value
}

// stop returns when it isn't telling and won't again.
func (w *watcher[T]) stop() {
	close(w.done)
	w.wait.Wait()
}
