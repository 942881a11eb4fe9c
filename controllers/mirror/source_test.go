// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

// TestAControllerWaitsForTheObjects keeps a restart from taking every object for gone.
func TestAControllerWaitsForTheObjects(t *testing.T) {
	m := New(words, newServer().listWatch, "moon")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := m.Source(nil).WaitForSync(ctx)
	if err == nil || !strings.Contains(err.Error(), "moon") || !strings.Contains(err.Error(), "words") {
		t.Errorf("waited for the words of moon until the context ended: %v", err)
	}
	if err := m.stores["moon"].Replace(nil, ""); err != nil {
		t.Fatal(err)
	}
	if err := m.Source(nil).WaitForSync(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestWhyObjectsAreNotKnownIsTold by the check and by what waits for them.
func TestWhyObjectsAreNotKnownIsTold(t *testing.T) {
	refused := func(context.Context, metav1.ListOptions) (runtime.Object, error) {
		return nil, apierrors.NewForbidden(corev1.Resource("words"), "", errors.New("not for you"))
	}
	m := New(words, func(string) *cache.ListWatch {
		return &cache.ListWatch{ListWithContextFunc: refused, WatchFuncWithContext: newServer().watch}
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.Start(ctx) }()
	for !tells(m.CheckSynced()) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := m.Source(nil).WaitForSync(ctx); !tells(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("waited in vain: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func tells(err error) bool {
	return err != nil && strings.Contains(err.Error(), "the words of all namespaces are not known yet: ") &&
		strings.Contains(err.Error(), "not for you")
}

func TestAMirrorHasOneController(t *testing.T) {
	m := New(words, newServer().listWatch)
	handle := func(context.Context, Change[string], Queue) {}
	if err := m.Source(handle).Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := m.Source(handle).Start(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "words") {
		t.Errorf("a second one: %v", err)
	}
}
