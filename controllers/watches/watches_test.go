// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package watches

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
)

// server is an API server whose answers a test chooses.
type server struct {
	listErr, watchErr error
	events            *watch.FakeWatcher
}

func (s *server) listWatch() *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			return &corev1.PodList{}, s.listErr
		},
		WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) {
			s.events = watch.NewFake()
			return s.events, s.watchErr
		},
	}
}

var (
	streamed   = metav1.ListOptions{SendInitialEvents: ptr.To(true)}
	errRefused = errors.New("pods is forbidden")
	complete   = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}}
)

// TestTheOperatorIsNotReadyWhileAWatchFails goes through the ways in which a watch fails, and works again.
func TestTheOperatorIsNotReadyWhileAWatchFails(t *testing.T) {
	type step func(*testing.T, *server, *cache.ListWatch)
	list := func(t *testing.T, _ *server, lw *cache.ListWatch) {
		_, _ = lw.ListWithContext(t.Context(), metav1.ListOptions{})
	}
	watching := func(t *testing.T, _ *server, lw *cache.ListWatch) {
		_, _ = lw.WatchWithContext(t.Context(), metav1.ListOptions{})
	}
	refuse := func(_ *testing.T, s *server, _ *cache.ListWatch) { s.listErr, s.watchErr = errRefused, errRefused }
	allow := func(_ *testing.T, s *server, _ *cache.ListWatch) { s.listErr, s.watchErr = nil, nil }
	expire := func(_ *testing.T, s *server, _ *cache.ListWatch) {
		s.watchErr = apierrors.NewResourceExpired("too old")
	}
	stream := func(events ...watch.Event) step {
		return func(t *testing.T, s *server, lw *cache.ListWatch) {
			passed, err := lw.WatchWithContext(t.Context(), streamed)
			if err != nil {
				t.Fatal(err)
			}
			defer passed.Stop()
			for _, event := range events {
				go s.events.Action(event.Type, event.Object)
				if got := <-passed.ResultChan(); got != event {
					t.Errorf("passed on %+v, want %+v", got, event)
				}
			}
		}
	}
	pod := watch.Event{Type: watch.Added, Object: &corev1.Pod{}}
	end := watch.Event{Type: watch.Bookmark, Object: complete}
	fault := watch.Event{Type: watch.Error, Object: &metav1.Status{Message: "unable to decode"}}
	for name, test := range map[string]struct {
		steps []step
		want  string
	}{
		"all is well":                           {[]step{list, watching}, ""},
		"the list is refused":                   {[]step{refuse, list}, errRefused.Error()},
		"the watch is refused":                  {[]step{list, refuse, watching}, errRefused.Error()},
		"the watch is refused after each list":  {[]step{refuse, watching, allow, list}, errRefused.Error()},
		"the watch works again":                 {[]step{refuse, list, allow, list, watching}, ""},
		"the version is too old":                {[]step{list, watching, expire, watching}, ""},
		"objects are streamed":                  {[]step{refuse, list, allow, stream(pod, end)}, ""},
		"the stream breaks off":                 {[]step{refuse, list, allow, stream(pod)}, errRefused.Error()},
		"what is streamed can't be decoded":     {[]step{list, watching, stream(pod, fault)}, "unable to decode"},
		"a stream that worked can't be decoded": {[]step{stream(pod, end, fault)}, "unable to decode"},
	} {
		t.Run(name, func(t *testing.T) {
			now := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
			health, s := New(now), &server{}
			lw := health.Observe("Pod", s.listWatch())
			for _, step := range test.steps {
				step(t, s, lw)
			}
			now.SetTime(time.Unix(0, 0).Add(Grace))
			if err := health.Check(nil); err != nil {
				t.Errorf("not ready within the grace: %v", err)
			}
			now.SetTime(time.Unix(0, 0).Add(2 * Grace))
			err := health.Check(nil)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), "kind Pod has failed for 2m0s: "+test.want) {
				t.Errorf("the check says %v, want %q", err, test.want)
			}
			want := 0.0
			if test.want != "" {
				want = 120
			}
			if got := failingSecondsOf(t, health); got != want {
				t.Errorf("the metric is %v, want %v", got, want)
			}
		})
	}
}

func failingSecondsOf(t *testing.T, health *Health) float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(health)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != 1 || len(families[0].GetMetric()) != 1 {
		t.Fatalf("served %v", families)
	}
	return families[0].GetMetric()[0].GetGauge().GetValue()
}

// TestOneWatchOfAKindFails although the other ones, of other namespaces, work.
func TestOneWatchOfAKindFails(t *testing.T) {
	now := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	health := New(now)
	good, bad := &server{}, &server{listErr: errRefused}
	for _, s := range []*server{bad, good} {
		lw := health.Observe("Pod", s.listWatch())
		_, _ = lw.ListWithContext(t.Context(), metav1.ListOptions{})
	}
	now.SetTime(time.Unix(0, 0).Add(2 * Grace))
	if err := health.Check(nil); err == nil {
		t.Error("ready although a watch fails")
	}
	if got := failingSecondsOf(t, health); got != 120 {
		t.Errorf("the metric is %v, want 120", got)
	}
}

// TestAnObservedWatchEndsWhenItIsStopped even if nobody reads what it still has. synctest fails if anything is left behind.
func TestAnObservedWatchEndsWhenItIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := watch.NewFakeWithChanSize(1, false)
		events.Add(&corev1.Pod{})
		passed := (&state{health: New(clocktesting.NewFakePassiveClock(time.Unix(0, 0)))}).observe(t.Context(), events)
		synctest.Wait()
		passed.Stop()
		synctest.Wait()
		if !events.IsStopped() {
			t.Error("the watch of the API server goes on")
		}
	})
}
