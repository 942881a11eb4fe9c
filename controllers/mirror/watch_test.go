// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// TestAWatchEndsWhenItIsStopped stops it while it has something to tell that nobody reads. synctest fails if what works for
// the watch is left behind.
func TestAWatchEndsWhenItIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects := watch.NewFakeWithChanSize(2, false)
		w := watchEntries(objects, words.Record)
		objects.Add(object("first", "a"))
		objects.Add(object("second", "b"))
		<-w.ResultChan()
		w.Stop()
		w.Stop()
		if !objects.IsStopped() {
			t.Error("the watch of the objects goes on")
		}
	})
}

// TestTheEndOfWhatThereIsAtFirstIsPassedOn is how a stream of objects says that all have been told.
func TestTheEndOfWhatThereIsAtFirstIsPassedOn(t *testing.T) {
	bookmark := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: "7", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}}
	event, concerns := toEntry(watch.Event{Type: watch.Bookmark, Object: bookmark}, words.Record)
	e, ok := event.Object.(*entry[string])
	if !concerns || !ok {
		t.Fatalf("%t: %+v", concerns, event)
	}
	if of := e.GetObjectMeta(); of.GetResourceVersion() != "7" ||
		of.GetAnnotations()[metav1.InitialEventsAnnotationKey] != "true" {
		t.Errorf("%+v", of)
	}
}

// TestAListOfSomethingElseIsAnError, and not an empty one: all that is mirrored would be taken for gone.
func TestAListOfSomethingElseIsAnError(t *testing.T) {
	list := &corev1.SecretList{Items: []corev1.Secret{{}}}
	_, err := toEntries(list, words.Record)
	if err == nil || !strings.Contains(err.Error(), "*v1.Secret in a list of *v1.ConfigMap") {
		t.Errorf("%v", err)
	}
}

// TestWhatIsHeardOfRequests is the error of each, and that there is none.
func TestWhatIsHeardOfRequests(t *testing.T) {
	refusal := errors.New("not for you")
	for _, want := range []error{refusal, nil} {
		objects := &cache.ListWatch{
			ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
				return &corev1.ConfigMapList{}, want
			},
			WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) {
				return watch.NewEmptyWatch(), want
			},
		}
		var heard []error
		all := entries(objects, words.Record, func(err error) { heard = append(heard, err) })
		if _, err := all.ListWithContext(t.Context(), metav1.ListOptions{}); !errors.Is(err, want) {
			t.Errorf("list: %v, want %v", err, want)
		}
		if _, err := all.WatchWithContext(t.Context(), metav1.ListOptions{}); !errors.Is(err, want) {
			t.Errorf("watch: %v, want %v", err, want)
		}
		if !slices.Equal(heard, []error{want, want}) {
			t.Errorf("heard %v, want %v twice", heard, want)
		}
	}
}
