// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package watches knows whether what the operator goes by is up to date.
//
// A Reflector whose requests fail keeps trying, and its cache keeps what it knew last: an operator that no longer sees
// anything looks healthy. So Health observes the requests themselves.
package watches

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
)

// Grace is how long a watch may fail before the operator counts as not ready. An API server that restarts is no reason.
const Grace = time.Minute

// Health is the state of the operator's watches. It is a prometheus.Collector.
type Health struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	watches []*state
}

// state is that of the watches of a kind in a namespace, or in all.
type state struct {
	health *Health
	kind   string
	// err is the last error since the watch last worked, and since is the time of the first; err is nil while it works.
	err   error
	since time.Time
}

// New makes a Health of no watches.
func New(clock clock.PassiveClock) *Health { return &Health{clock: clock} }

// Check is a healthz.Checker: it fails while a watch has failed for longer than Grace.
func (h *Health) Check(*http.Request) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for _, s := range h.watches {
		if failing := s.failing(); failing > Grace {
			errs = append(errs, fmt.Errorf("watching objects of the kind %s has failed for %s: %w",
				s.kind, failing.Round(time.Second), s.err))
		}
	}
	return errors.Join(errs...)
}

// failing is how long the watch has failed; 0 if it works.
func (s *state) failing() time.Duration {
	if s.err == nil {
		return 0
	}
	return s.health.clock.Since(s.since)
}

// heard takes the outcome of a request.
func (s *state) heard(err error) {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if s.err == nil {
		s.since = s.health.clock.Now()
	}
	s.err = err
}

var failingSeconds = prometheus.NewDesc("backup_operator_watch_failing_seconds",
	"How long the operator has been unable to watch objects of this kind; 0 while it can.", []string{"kind"}, nil)

// Describe implements prometheus.Collector.
func (h *Health) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- failingSeconds }

// Collect implements prometheus.Collector.
func (h *Health) Collect(metrics chan<- prometheus.Metric) {
	h.mu.Lock()
	defer h.mu.Unlock()
	longest := map[string]time.Duration{}
	for _, s := range h.watches {
		longest[s.kind] = max(longest[s.kind], s.failing())
	}
	for kind, failing := range longest {
		metrics <- prometheus.MustNewConstMetric(failingSeconds, prometheus.GaugeValue, failing.Seconds(), kind)
	}
}

// NewInformer makes an informer that is observed. It is for cache.Options.
func (h *Health) NewInformer(
	of cache.ListerWatcher, object runtime.Object, resync time.Duration, indexers cache.Indexers,
) cache.SharedIndexInformer {
	kind := reflect.Indirect(reflect.ValueOf(object)).Type().Name()
	return cache.NewSharedIndexInformer(h.Observe(kind, of), object, resync, indexers)
}

// Observe makes a ListWatch of objects of a kind, whose requests are heard of. A list alone is no success, because what
// happens after it may be missed.
func (h *Health) Observe(kind string, of cache.ListerWatcher) *cache.ListWatch {
	s := &state{health: h, kind: kind}
	h.mu.Lock()
	h.watches = append(h.watches, s)
	h.mu.Unlock()
	inner := cache.ToListerWatcherWithContext(of)
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := inner.ListWithContext(ctx, options)
			if isFailure(ctx, err) {
				s.heard(err)
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			events, err := inner.WatchWithContext(ctx, options)
			if isFailure(ctx, err) {
				s.heard(err)
			}
			if err != nil {
				return nil, err
			}
			if !ptr.Deref(options.SendInitialEvents, false) {
				s.heard(nil)
			}
			return s.observe(ctx, events), nil
		},
	}
}

// isFailure reports whether a request failed otherwise than in the ordinary course of watching: the version that it begins
// with may be too old, and an API server older than Kubernetes 1.32 may not stream lists.
func isFailure(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() == nil && !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) &&
		!apierrors.IsInvalid(err)
}

// observe passes on the events of a watch. One that begins with all objects works as soon as these have arrived.
func (s *state) observe(ctx context.Context, from watch.Interface) watch.Interface {
	passed := make(chan watch.Event)
	to := watch.NewProxyWatcher(passed)
	go func() {
		defer close(passed)
		defer from.Stop()
		for {
			select {
			case event, more := <-from.ResultChan():
				if !more {
					return
				}
				s.note(ctx, event)
				select {
				case passed <- event:
				case <-to.StopChan():
					return
				}
			case <-to.StopChan():
				return
			}
		}
	}()
	return to
}

func (s *state) note(ctx context.Context, event watch.Event) {
	switch event.Type {
	case watch.Error:
		if err := apierrors.FromObject(event.Object); isFailure(ctx, err) {
			s.heard(err)
		}
	case watch.Bookmark:
		if of, err := meta.Accessor(event.Object); err == nil && of.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
			s.heard(nil)
		}
	case watch.Added, watch.Modified, watch.Deleted:
	}
}
