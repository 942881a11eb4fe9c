// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// object is an object of which the words are kept, if there are any.
func object(name, words string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "orbit", Name: name, ResourceVersion: "1"},
		Data:       map[string]string{"words": words},
	}
}

// server is an API server's objects. It can't stream them, but page them, and forgets what was at earlier times.
type server struct {
	mu       sync.Mutex
	objects  []*corev1.ConfigMap
	pages    []metav1.ListOptions
	watchers chan *watch.FakeWatcher
}

func newServer(objects ...*corev1.ConfigMap) *server {
	return &server{objects: objects, watchers: make(chan *watch.FakeWatcher, 1)}
}

// kind is the kind of the server's objects.
func (s *server) kind() Kind[*corev1.ConfigMap, string] {
	return Kind[*corev1.ConfigMap, string]{
		Name: "words",
		ListWatch: func(string) *cache.ListWatch {
			return &cache.ListWatch{ListWithContextFunc: s.list, WatchFuncWithContext: s.watch}
		},
		Record: func(c *corev1.ConfigMap) (string, bool) { return c.Data["words"], c.Data["words"] != "" },
		Same:   func(a, b string) bool { return a == b },
		Index:  strings.Fields,
	}
}

func (s *server) set(objects ...*corev1.ConfigMap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects = objects
}

func (s *server) list(_ context.Context, options metav1.ListOptions) (runtime.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages = append(s.pages, options)
	from := 0
	if options.Continue != "" {
		if _, err := fmt.Sscan(options.Continue, &from); err != nil {
			return nil, err
		}
	}
	list := &corev1.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: "10"}}
	to := min(from+int(options.Limit), len(s.objects))
	if to < len(s.objects) {
		list.Continue = fmt.Sprint(to)
	}
	for _, object := range s.objects[from:to] {
		list.Items = append(list.Items, *object)
	}
	return list, nil
}

func (s *server) watch(_ context.Context, options metav1.ListOptions) (watch.Interface, error) {
	if options.SendInitialEvents != nil {
		return nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("ListOptions").GroupKind(), "", nil)
	}
	w := watch.NewFake()
	s.watchers <- w
	return w, nil
}

// start starts a Mirror of a server's objects and waits until they are known. What it returns receives what is told to
// have changed, as "name: before > now".
func start(t *testing.T, s *server) (*Mirror[string], *watch.FakeWatcher, chan string) {
	t.Helper()
	m := New(s.kind())
	told := make(chan string, 100)
	source := m.Source(func(_ context.Context, c Change[string], _ Queue) {
		told <- fmt.Sprintf("%s: %s > %s", c.Key, orNone(c.Before), orNone(c.Now))
	})
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	t.Cleanup(queue.ShutDown)
	if err := source.Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	if m.HasSynced() {
		t.Error("synced before it started")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if err := source.WaitForSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !m.HasSynced() {
		t.Error("not synced after all were")
	}
	return m, <-s.watchers, told
}

func orNone(words *string) string {
	if words == nil {
		return "-"
	}
	return *words
}

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "orbit", Name: name}
}

func wantWords(t *testing.T, m *Mirror[string], name, want string) {
	t.Helper()
	if got, known := m.Get(named(name)); got != want || known != (want != "") {
		t.Errorf("of %s %q is known (%t), want %q", name, got, known, want)
	}
}

func wantBy(t *testing.T, m *Mirror[string], word string, want ...string) {
	t.Helper()
	if got := slices.Sorted(slices.Values(m.By(named(word)))); !slices.Equal(got, want) {
		t.Errorf("by %s: %q, want %q", word, got, want)
	}
}

func wantTold(t *testing.T, told chan string, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := <-told; got != "orbit/"+w {
			t.Errorf("told %q, want %q", got, "orbit/"+w)
		}
	}
}

func TestObjectsAreReadInPages(t *testing.T) {
	var objects []*corev1.ConfigMap
	for i := range 3*pageSize + 1 {
		objects = append(objects, object(fmt.Sprintf("o-%04d", i), fmt.Sprintf("w-%04d", i)))
	}
	s := newServer(objects...)
	m, _, told := start(t, s)
	for i := range objects {
		wantWords(t, m, objects[i].Name, objects[i].Data["words"])
	}
	if len(told) != 0 {
		t.Errorf("told of what there was at first: %s", <-told)
	}
	if len(s.pages) != 4 {
		t.Errorf("%d pages", len(s.pages))
	}
	for _, page := range s.pages {
		if page.Limit != pageSize || page.ResourceVersion == "0" {
			t.Errorf("asked for %d objects at version %q", page.Limit, page.ResourceVersion)
		}
	}
}

func TestWhatChangesIsToldAndWhatDoesNotIsNot(t *testing.T) {
	m, w, told := start(t, newServer(object("first", "a b"), object("nothing", "")))
	wantWords(t, m, "first", "a b")
	wantWords(t, m, "nothing", "")

	same := object("first", "a b")
	same.ResourceVersion, same.Labels = "2", map[string]string{"changed": "where it doesn't matter"}
	w.Modify(same)
	w.Modify(object("nothing", ""))
	w.Add(object("nothing else", ""))
	w.Modify(object("first", "b c"))
	// The first that is told of is the change of words: nothing was told of what was before.
	wantTold(t, told, "first: a b > b c")
	wantWords(t, m, "first", "b c")

	w.Add(object("second", "c c"))
	wantTold(t, told, "second: - > c c")
	wantBy(t, m, "a")
	wantBy(t, m, "b", "b c")
	wantBy(t, m, "c", "b c", "c c")
	w.Delete(object("second", "whatever it was at the end"))
	wantTold(t, told, "second: c c > -")
	wantWords(t, m, "second", "")
	wantBy(t, m, "c", "b c")
	// Of an object that changes, nothing may be to be kept any more.
	w.Modify(object("first", ""))
	wantTold(t, told, "first: b c > -")
	wantWords(t, m, "first", "")
	wantBy(t, m, "b")
	w.Add(object("second", "d"))
	wantTold(t, told, "second: - > d")
	wantWords(t, m, "second", "d")
}

// TestObjectsAreReadAnew ends the watch as API servers do that have forgotten the time from which it should go on.
func TestObjectsAreReadAnew(t *testing.T) {
	s := newServer(object("stays", "a"), object("goes", "b"), object("changes", "c"))
	m, w, told := start(t, s)
	s.set(object("stays", "a"), object("changes", "d"), object("comes", "e"))
	w.Error(&apierrors.NewResourceExpired("too old").ErrStatus)
	wantTold(t, told, "changes: c > d", "comes: - > e", "goes: b > -")
	wantWords(t, m, "stays", "a")
	wantWords(t, m, "goes", "")
	wantBy(t, m, "b")
	wantBy(t, m, "c")
	wantBy(t, m, "d", "d")
	if len(told) != 0 {
		t.Errorf("told %q as well", <-told)
	}
}

func TestNamespacesAreKeptApart(t *testing.T) {
	s := newServer()
	m := New(s.kind(), "orbit", "moon")
	if m.HasSynced() {
		t.Error("synced before any object is known")
	}
	if err := m.stores["orbit"].Replace([]any{entryOf(object("o", "w"), s.kind().Record)}, ""); err != nil {
		t.Fatal(err)
	}
	if m.HasSynced() {
		t.Error("synced with one namespace of two")
	}
	if err := m.stores["moon"].Replace(nil, ""); err != nil {
		t.Fatal(err)
	}
	if !m.HasSynced() {
		t.Error("not synced with both")
	}
	for namespace, want := range map[string]int{"orbit": 1, "moon": 0, "sun": 0} {
		if got := len(m.By(types.NamespacedName{Namespace: namespace, Name: "w"})); got != want {
			t.Errorf("%d objects in %s, want %d", got, namespace, want)
		}
		if _, known := m.Get(types.NamespacedName{Namespace: namespace, Name: "o"}); known != (want == 1) {
			t.Errorf("o in %s: known %t", namespace, known)
		}
	}
}

// TestAControllerWaitsForTheObjects keeps a restart from taking every object for gone.
func TestAControllerWaitsForTheObjects(t *testing.T) {
	m := New(newServer().kind(), "moon")
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

// TestAWatchEndsWhenItIsStopped stops it while it has something to tell that nobody reads. synctest fails if what works for
// the watch is left behind.
func TestAWatchEndsWhenItIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects := watch.NewFakeWithChanSize(2, false)
		w := watchEntries(objects, newServer().kind().Record)
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
	event, concerns := toEntry(watch.Event{Type: watch.Bookmark, Object: bookmark}, newServer().kind().Record)
	e, ok := event.Object.(*entry[string])
	if !concerns || !ok {
		t.Fatalf("%t: %+v", concerns, event)
	}
	if of := e.GetObjectMeta(); of.GetResourceVersion() != "7" ||
		of.GetAnnotations()[metav1.InitialEventsAnnotationKey] != "true" {
		t.Errorf("%+v", of)
	}
}
