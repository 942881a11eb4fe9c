// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// object is an object of which the words are kept, if there are any.
func object(name, words string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "orbit", Name: name, ResourceVersion: "1"},
		Data:       map[string]string{"words": words},
	}
}

// words is how objects are mirrored.
var words = Kind[*corev1.ConfigMap, string]{
	Name: "words",
	Record: func(c *corev1.ConfigMap) *string {
		if c.Data["words"] == "" {
			return nil
		}
		return ptr.To(c.Data["words"])
	},
	Index: func(words *string) []string { return strings.Fields(*words) },
}

// server is an API server's objects, as they were at each version. It can't stream them, but page them, and it watches from
// the present version only, as one does that was started anew.
type server struct {
	mu       sync.Mutex
	versions [][]*corev1.ConfigMap
	pages    []metav1.ListOptions
	watchers chan *watch.FakeWatcher
}

func newServer(objects ...*corev1.ConfigMap) *server {
	return &server{versions: [][]*corev1.ConfigMap{nil, objects}, watchers: make(chan *watch.FakeWatcher, 1)}
}

func (s *server) listWatch(string) *cache.ListWatch {
	return &cache.ListWatch{ListWithContextFunc: s.list, WatchFuncWithContext: s.watch}
}

// set makes a new version.
func (s *server) set(objects ...*corev1.ConfigMap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions = append(s.versions, objects)
}

// at is the version that a request asks for.
func (s *server) at(version string) (int, error) {
	if version == "" {
		return len(s.versions) - 1, nil
	}
	return strconv.Atoi(version)
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
	version, err := s.at(options.ResourceVersion)
	if err != nil {
		return nil, err
	}
	objects := s.versions[version]
	list := &corev1.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(version)}}
	to := min(from+int(options.Limit), len(objects))
	if to < len(objects) {
		list.Continue = fmt.Sprint(to)
	}
	for _, object := range objects[from:to] {
		list.Items = append(list.Items, *object)
	}
	return list, nil
}

func (s *server) watch(_ context.Context, options metav1.ListOptions) (watch.Interface, error) {
	if options.SendInitialEvents != nil {
		return nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("ListOptions").GroupKind(), "", nil)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if version, err := s.at(options.ResourceVersion); err != nil || version != len(s.versions)-1 {
		return nil, apierrors.NewResourceExpired("too old resource version: " + options.ResourceVersion)
	}
	w := watch.NewFake()
	s.watchers <- w
	return w, nil
}

// start starts a Mirror of a server's objects and waits until they are known. What it returns receives what is told to
// have changed, as "name: before > now".
func start(t *testing.T, s *server) (*Mirror[string], *watch.FakeWatcher, chan string) {
	t.Helper()
	m := New(words, s.listWatch)
	told := make(chan string, 100)
	source := m.Source(func(_ context.Context, c Change[string], _ Queue) {
		told <- fmt.Sprintf("%s: %s > %s", c.Key, orNone(c.Before), orNone(c.Now))
	})
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	t.Cleanup(queue.ShutDown)
	if err := source.Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	if m.CheckSynced() == nil {
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
	if err := m.CheckSynced(); err != nil {
		t.Error(err)
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
	if got := ptr.Deref(m.Get(named(name)), ""); got != want {
		t.Errorf("of %s %q is known, want %q", name, got, want)
	}
}

func wantBy(t *testing.T, m *Mirror[string], word string, want ...string) {
	t.Helper()
	var got []string
	for _, words := range m.ByIndex("orbit", word) {
		got = append(got, *words)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
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
		if page.Limit != pageSize || page.ResourceVersion != "" {
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

// TestObjectsAreReadAnew ends the watch as API servers do that have forgotten the version from which it should go on. What
// is read then is what there is now, and not at that version.
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
	m := New(words, s.listWatch, "orbit", "moon")
	if m.CheckSynced() == nil {
		t.Error("synced before any object is known")
	}
	if err := m.stores["orbit"].Replace([]any{entryOf(object("o", "w"), words.Record)}, ""); err != nil {
		t.Fatal(err)
	}
	if m.CheckSynced() == nil {
		t.Error("synced with one namespace of two")
	}
	if err := m.stores["moon"].Replace(nil, ""); err != nil {
		t.Fatal(err)
	}
	if err := m.CheckSynced(); err != nil {
		t.Error(err)
	}
	for namespace, want := range map[string]int{"orbit": 1, "moon": 0, "sun": 0} {
		if got := len(m.ByIndex(namespace, "w")); got != want {
			t.Errorf("%d objects in %s, want %d", got, namespace, want)
		}
		if got := m.Get(types.NamespacedName{Namespace: namespace, Name: "o"}); (got != nil) != (want == 1) {
			t.Errorf("o in %s: %v", namespace, got)
		}
	}
}
