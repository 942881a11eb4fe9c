// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"context"
	"errors"
	"strings"
	"testing"
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
	m := New(words, newServer().listWatch)
	m.stores[""].heard(errors.New("not for you"))
	const want = "the words of all namespaces are not known yet: not for you"
	if err := m.CheckSynced(); err == nil || err.Error() != want {
		t.Errorf("not known: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Source(nil).WaitForSync(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), want) {
		t.Errorf("waited in vain: %v", err)
	}
	m.stores[""].heard(nil)
	if err := m.CheckSynced(); err == nil || strings.Contains(err.Error(), "not for you") {
		t.Errorf("not known, but no longer refused: %v", err)
	}
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
