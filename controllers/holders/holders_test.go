// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package holders

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"appliance.io/backup-operator/controllers/mirror"
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

// TestTheServerLeavesOutWhatHoldsNothing asks a server that tells what it is asked for.
func TestTheServerLeavesOutWhatHoldsNothing(t *testing.T) {
	asked := make(chan *url.URL, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.URL:
		default:
		}
		http.Error(w, "not now", http.StatusServiceUnavailable)
	}))
	defer server.Close()
	client, err := typedcorev1.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- New(Pods(client.RESTClient()), "moon").Start(ctx) }()
	request := <-asked
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if request.Path != "/api/v1/namespaces/moon/pods" {
		t.Errorf("asked for %s", request.Path)
	}
	query := request.Query()
	if query.Get("labelSelector") != "!backup.appliance.io/policy" ||
		query.Get("fieldSelector") != "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed" {
		t.Errorf("asked for %v", query)
	}
}

func TestPodsThatHoldNothingAreNotKept(t *testing.T) {
	if r := recordOf(podOf("other")); r != nil {
		t.Errorf("kept %+v", r)
	}
}

// TestWhichClaimsAPodsChangeConcerns: the ones that it held before and those that it holds now, each once.
func TestWhichClaimsAPodsChangeConcerns(t *testing.T) {
	before, now := recordOf(podOf("appliance", "logs", "data")), recordOf(podOf("appliance", "data", "config"))
	for want, change := range map[string]mirror.Change[record]{
		"data logs":        {Before: before},
		"config data":      {Now: now},
		"config data logs": {Before: before, Now: now},
	} {
		if got := strings.Join(concerned(change), " "); got != want {
			t.Errorf("concerns %q, want %q", got, want)
		}
	}
}

// TestChangesOfPodsThatMatter: those of what runs that mount the same claims go by.
func TestChangesOfPodsThatMatter(t *testing.T) {
	before := recordOf(podOf("appliance", "data"))
	for name, test := range map[string]struct {
		change  func(*corev1.Pod)
		matters bool
	}{
		"its status":    {func(p *corev1.Pod) { p.Status.Message, p.ResourceVersion = "seen", "2" }, false},
		"an annotation": {func(p *corev1.Pod) { p.Annotations = map[string]string{"seen": "by somebody"} }, false},
		"a label":       {func(p *corev1.Pod) { p.Labels["app"] = "renamed" }, true},
		"the node":      {func(p *corev1.Pod) { p.Spec.NodeName = "node-b" }, true},
		"a claim":       {func(p *corev1.Pod) { p.Spec.Volumes = podOf("", "data", "logs").Spec.Volumes }, true},
		"a toleration": {func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}}
		}, true},
		"SELinux options": {func(p *corev1.Pod) {
			p.Spec.SecurityContext = &corev1.PodSecurityContext{SELinuxOptions: &corev1.SELinuxOptions{Level: "s0:c1,c2"}}
		}, true},
	} {
		pod := podOf("appliance", "data")
		test.change(pod)
		if matters := !reflect.DeepEqual(before, recordOf(pod)); matters != test.matters {
			t.Errorf("%s: matters %t, want %t", name, matters, test.matters)
		}
	}
}

func TestTheOldestHolderIsFirst(t *testing.T) {
	var pods []*corev1.Pod
	for i, name := range []string{"c", "b", "a", "d"} {
		pod := podOf(name, "data")
		pod.CreationTimestamp = metav1.Unix(int64(1000+i/3), 0)
		pods = append(pods, pod)
	}
	wantHolders(t, Fixed(slices.Values(pods)), "data", "a b c d")
}

// TestWhatIsKeptOfAPod makes a pod with everything that matters.
func TestWhatIsKeptOfAPod(t *testing.T) {
	pod := podOf("appliance", "data")
	pod.CreationTimestamp = metav1.Unix(1000, 0)
	pod.Labels = map[string]string{"app": "appliance", "tier": "first", "empty": ""}
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
	h := Fixed(slices.Values([]*corev1.Pod{pod}))
	want := []Pod{{
		Name: "appliance", Created: metav1.Unix(1000, 0).UTC(), Node: "node-a", Labels: pod.Labels,
		Tolerations: own, SELinuxOptions: &corev1.SELinuxOptions{Level: "s0:c1,c2"},
	}}
	if diff := cmp.Diff(want, h.Of("orbit", "data")); diff != "" {
		t.Error(diff)
	}
	wantHolders(t, h, "appliance-scratch", "appliance")
}
