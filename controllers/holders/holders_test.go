// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package holders

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// podOf is a pod on a node that mounts these claims.
func podOf(name string, claims ...string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "orbit", Name: name, Labels: map[string]string{"app": name}, ResourceVersion: "1",
	}}
	pod.Spec.NodeName = "node-a"
	for _, claim := range claims {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "v-" + claim, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
		}})
	}
	return pod
}

// server is an API server's pods. It can't stream them, but page them, and forgets what was at earlier times.
type server struct {
	typedcorev1.PodInterface
	mu       sync.Mutex
	pods     []*corev1.Pod
	pages    []metav1.ListOptions
	watchers chan *watch.FakeWatcher
}

func newServer(pods ...*corev1.Pod) *server {
	return &server{pods: pods, watchers: make(chan *watch.FakeWatcher, 1)}
}

func (s *server) Pods(string) typedcorev1.PodInterface { return s }

func (s *server) set(pods ...*corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pods = pods
}

func (s *server) List(_ context.Context, options metav1.ListOptions) (*corev1.PodList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages = append(s.pages, options)
	from := 0
	if options.Continue != "" {
		if _, err := fmt.Sscan(options.Continue, &from); err != nil {
			return nil, err
		}
	}
	list := &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "10"}}
	to := min(from+int(options.Limit), len(s.pods))
	if to < len(s.pods) {
		list.Continue = fmt.Sprint(to)
	}
	for _, pod := range s.pods[from:to] {
		list.Items = append(list.Items, *pod)
	}
	return list, nil
}

func (s *server) Watch(_ context.Context, options metav1.ListOptions) (watch.Interface, error) {
	if options.SendInitialEvents != nil {
		return nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("ListOptions").GroupKind(), "", nil)
	}
	w := watch.NewFake()
	s.watchers <- w
	return w, nil
}

// start starts Holders of a server's pods and waits until they are known. What it returns receives, as one word each,
// the claims that are told to have changed.
func start(t *testing.T, s *server) (*Holders, *watch.FakeWatcher, chan string) {
	t.Helper()
	h := newHolders(s, nil)
	told := make(chan string, 100)
	source := h.Source(func(_ context.Context, claim types.NamespacedName) []reconcile.Request {
		told <- claim.String()
		return nil
	})
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	t.Cleanup(queue.ShutDown)
	if err := source.Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	if h.HasSynced() {
		t.Error("synced before it started")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if err := source.WaitForSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !h.HasSynced() {
		t.Error("not synced after all were")
	}
	return h, <-s.watchers, told
}

// names are the names of the pods that hold a claim.
func names(h *Holders, claim string) string {
	var names []string
	for _, pod := range h.Of("orbit", claim) {
		names = append(names, pod.Name)
	}
	return strings.Join(names, " ")
}

func wantHolders(t *testing.T, h *Holders, claim, want string) {
	t.Helper()
	if got := names(h, claim); got != want {
		t.Errorf("%s is held by %q, want %q", claim, got, want)
	}
}

func wantTold(t *testing.T, told chan string, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := <-told; got != "orbit/"+w {
			t.Errorf("told of %s, want orbit/%s", got, w)
		}
	}
}

func TestPodsAreReadInPages(t *testing.T) {
	var pods []*corev1.Pod
	for i := range 3*pageSize + 1 {
		pods = append(pods, podOf(fmt.Sprintf("p-%04d", i), fmt.Sprintf("c-%04d", i)))
	}
	s := newServer(pods...)
	h, _, _ := start(t, s)
	for i := range pods {
		wantHolders(t, h, fmt.Sprintf("c-%04d", i), pods[i].Name)
	}
	if len(s.pages) != 4 {
		t.Errorf("%d pages", len(s.pages))
	}
	for _, page := range s.pages {
		if page.Limit != pageSize || page.ResourceVersion == "0" {
			t.Errorf("asked for %d pods at version %q", page.Limit, page.ResourceVersion)
		}
		if page.LabelSelector != "!backup.appliance.io/policy" ||
			page.FieldSelector != "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed" {
			t.Errorf("asked for %q, %q", page.LabelSelector, page.FieldSelector)
		}
	}
}

func TestWhatChangesIsToldAndWhatDoesNotIsNot(t *testing.T) {
	h, w, told := start(t, newServer(podOf("appliance", "data", "logs"), podOf("other")))
	wantHolders(t, h, "data", "appliance")

	same := podOf("appliance", "data", "logs")
	same.ResourceVersion, same.Status.Message = "2", "changed where it doesn't matter"
	w.Modify(same)
	w.Modify(podOf("other"))
	w.Add(podOf("another"))
	relabelled := podOf("appliance", "data", "logs")
	relabelled.Labels = map[string]string{"app": "renamed"}
	w.Modify(relabelled)
	// The first that is told of is the change of labels: nothing was told of what was before.
	wantTold(t, told, "data", "logs")
	if labels := h.Of("orbit", "data")[0].Labels; labels["app"] != "renamed" {
		t.Errorf("labels %v", labels)
	}

	w.Add(podOf("second", "data"))
	wantTold(t, told, "data")
	wantHolders(t, h, "data", "appliance second")
	w.Delete(relabelled)
	wantTold(t, told, "data", "logs")
	wantHolders(t, h, "data", "second")
	wantHolders(t, h, "logs", "")
	// The same name, another pod.
	again := podOf("second", "logs")
	again.Spec.NodeName = "node-b"
	w.Delete(podOf("second", "data"))
	w.Add(again)
	wantTold(t, told, "data", "logs")
	wantHolders(t, h, "data", "")
	if pods := h.Of("orbit", "logs"); len(pods) != 1 || pods[0].Node != "node-b" {
		t.Errorf("logs is held by %v", pods)
	}
}

// TestTheHoldersAreReadAnew ends the watch as API servers do that have forgotten the time from which it should go on.
func TestTheHoldersAreReadAnew(t *testing.T) {
	s := newServer(podOf("stays", "data"), podOf("goes", "logs"), podOf("moves", "config"))
	h, w, told := start(t, s)
	moved := podOf("moves", "config")
	moved.Spec.NodeName = "node-b"
	s.set(podOf("stays", "data"), moved, podOf("comes", "sessions"))
	w.Error(&apierrors.NewResourceExpired("too old").ErrStatus)
	wantTold(t, told, "config", "logs", "sessions")
	wantHolders(t, h, "data", "stays")
	wantHolders(t, h, "logs", "")
	wantHolders(t, h, "sessions", "comes")
	if len(told) != 0 {
		t.Errorf("told of %s as well", <-told)
	}
}

func TestNamespacesAreKeptApart(t *testing.T) {
	h := newHolders(newServer(), []string{"orbit", "moon"})
	if h.HasSynced() {
		t.Error("synced before any pod is known")
	}
	pod := entryOf(podOf("appliance", "data"))
	if err := h.stores["orbit"].Replace([]any{pod}, ""); err != nil {
		t.Fatal(err)
	}
	if h.HasSynced() {
		t.Error("synced with one namespace of two")
	}
	if err := h.stores["moon"].Replace(nil, ""); err != nil {
		t.Fatal(err)
	}
	if !h.HasSynced() || len(h.Of("orbit", "data")) != 1 || len(h.Of("moon", "data")) != 0 || len(h.Of("sun", "data")) != 0 {
		t.Errorf("synced %t, holders %v, %v", h.HasSynced(), h.Of("orbit", "data"), h.Of("moon", "data"))
	}
}

// TestAControllerWaitsForTheHolders keeps a restart from taking every pod for gone.
func TestAControllerWaitsForTheHolders(t *testing.T) {
	h := newHolders(newServer(), []string{"moon"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Source(nil).WaitForSync(ctx); err == nil || !strings.Contains(err.Error(), "moon") {
		t.Errorf("waited for the pods of moon until the context ended: %v", err)
	}
	if err := h.stores["moon"].Replace(nil, ""); err != nil {
		t.Fatal(err)
	}
	if err := h.Source(nil).WaitForSync(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTheOldestHolderIsFirst(t *testing.T) {
	var pods []*corev1.Pod
	for i, name := range []string{"c", "b", "a", "d"} {
		pod := podOf(name, "data")
		pod.CreationTimestamp = metav1.Unix(int64(1000+i/3), 0)
		pods = append(pods, pod)
	}
	wantHolders(t, Fixed(pods...), "data", "a b c d")
}

// TestWhatIsKeptOfAPod makes a pod with everything that matters.
func TestWhatIsKeptOfAPod(t *testing.T) {
	pod := podOf("appliance", "data")
	pod.CreationTimestamp = metav1.Unix(1000, 0)
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "scratch", VolumeSource: corev1.VolumeSource{
		Ephemeral: &corev1.EphemeralVolumeSource{},
	}})
	seconds, more := int64(300), int64(301)
	own := []corev1.Toleration{
		{Key: "dedicated", Operator: corev1.TolerationOpExists},
		{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
	}
	pod.Spec.Tolerations = append([]corev1.Toleration{
		{Key: corev1.TaintNodeNotReady, Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &seconds},
		{Key: corev1.TaintNodeUnreachable, Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &more},
	}, own...)
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{SELinuxOptions: &corev1.SELinuxOptions{Level: "s0:c1,c2"}}
	h := Fixed(pod)
	want := []Pod{{
		Name: "appliance", Created: metav1.Unix(1000, 0).UTC(), Node: "node-a", Labels: map[string]string{"app": "appliance"},
		Tolerations: own, SELinuxOptions: &corev1.SELinuxOptions{Level: "s0:c1,c2"},
	}}
	if diff := cmp.Diff(want, h.Of("orbit", "data")); diff != "" {
		t.Error(diff)
	}
	wantHolders(t, h, "appliance-scratch", "appliance")
}

// TestAWatchEndsWhenItIsStopped stops it while it has something to tell that nobody reads. synctest fails if what works for
// the watch is left behind.
func TestAWatchEndsWhenItIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pods := watch.NewFakeWithChanSize(2, false)
		w := watchEntries(pods)
		pods.Add(podOf("first", "data"))
		pods.Add(podOf("second", "data"))
		<-w.ResultChan()
		w.Stop()
		w.Stop()
		if !pods.IsStopped() {
			t.Error("the watch of the pods goes on")
		}
	})
}

// TestTheEndOfWhatThereIsAtFirstIsPassedOn is how a stream of pods says that all have been told.
func TestTheEndOfWhatThereIsAtFirstIsPassedOn(t *testing.T) {
	bookmark := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: "7", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}}
	event, concerns := toEntry(watch.Event{Type: watch.Bookmark, Object: bookmark})
	e, ok := event.Object.(*entry)
	if !concerns || !ok || e.ResourceVersion != "7" || e.Annotations[metav1.InitialEventsAnnotationKey] != "true" {
		t.Errorf("%t: %+v", concerns, event)
	}
}

// BenchmarkMemory tells how much memory the records of many pods take, each of which mounts a claim and has the labels of a
// StatefulSet's pods.
func BenchmarkMemory(b *testing.B) {
	const pods = 50_000
	for b.Loop() {
		before := heap()
		h := newHolders(nil, nil)
		for i := range pods {
			pod := podOf(fmt.Sprintf("appliance-%d", i), fmt.Sprintf("data-appliance-%d", i))
			pod.Labels = map[string]string{
				"app.kubernetes.io/name": "appliance", "app.kubernetes.io/instance": "orbit",
				"app.kubernetes.io/managed-by": "Helm", "controller-revision-hash": "appliance-5d8f7c9b4",
				"statefulset.kubernetes.io/pod-name": pod.Name, "apps.kubernetes.io/pod-index": fmt.Sprint(i),
			}
			pod.Spec.NodeName = fmt.Sprintf("node-%d", i%500)
			if err := h.stores[""].Add(entryOf(pod)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-before)/pods, "bytes/pod")
		runtime.KeepAlive(h)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
