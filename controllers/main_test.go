// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/controllers/watches"
	"appliance.io/backup-operator/test/controlplane"
)

// writes counts what the operator under test has written since it started, by namespace: what it does for one test is
// nothing to another.
var writes sync.Map

func countWrite(namespace string) {
	n, _ := writes.LoadOrStore(namespace, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

// writesIn is how much the operator under test has written in a namespace.
func writesIn(namespace string) int64 {
	if n, ok := writes.Load(namespace); ok {
		return n.(*atomic.Int64).Load()
	}
	return 0
}

// direct is the operator's client, without the counting of what it writes.
var direct client.WithWatch

// reconciler is the operator under test. It runs for the whole package.
var reconciler *BackupPolicyReconciler

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctrl.SetLogger(logr.Discard())
	stop, err := controlplane.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the control plane:", err)
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	manager, err := newOperator(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "set up the operator:", err)
		cancel()
		return 1
	}
	go func() { ended <- manager.Start(ctx) }()
	code := m.Run()
	cancel()
	if err := <-ended; err != nil {
		fmt.Fprintln(os.Stderr, "the operator failed:", err)
		return 1
	}
	return code
}

// newOperator sets the operator up as its command does, with a client that counts writes.
func newOperator(ctx context.Context) (ctrl.Manager, error) {
	known := runtime.NewScheme()
	if err := scheme.AddToScheme(known); err != nil {
		return nil, err
	}
	if err := backupv1alpha1.AddToScheme(known); err != nil {
		return nil, err
	}
	manager, err := ctrl.NewManager(controlplane.Config, ctrl.Options{
		Scheme:  known,
		Cache:   cache.Options{ByObject: CacheObjects(), ReaderFailOnMissingInformer: true},
		Metrics: metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		return nil, err
	}
	direct, err = client.NewWithWatch(controlplane.Config, client.Options{
		Scheme: known, Cache: &client.CacheOptions{Reader: manager.GetCache()},
	})
	if err != nil {
		return nil, err
	}
	mirrors, err := NewMirrors(manager.GetConfig(), watches.New(clock.RealClock{}))
	if err != nil {
		return nil, err
	}
	reconciler = &BackupPolicyReconciler{
		Client:    interceptor.NewClient(direct, countWrites(countWrite)),
		APIReader: manager.GetAPIReader(),
		Mirrors:   mirrors,
		Clock:     clock.RealClock{},
		Options:   Options{RunnerImage: "backup-operator:test"},
	}
	return manager, reconciler.SetupWithManager(ctx, manager)
}

// countWrites calls count with the namespace of each object that is written.
func countWrites(count func(namespace string)) interceptor.Funcs {
	return interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			count(o.(interface{ GetNamespace() string }).GetNamespace())
			return c.Apply(ctx, o, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			count(o.GetNamespace())
			return c.Create(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			count(o.GetNamespace())
			return c.Patch(ctx, o, p, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch,
			opts ...client.SubResourcePatchOption,
		) error {
			count(o.GetNamespace())
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	}
}

// namespace makes a namespace for one test, with the claims of the sample policy in it.
func namespace(t *testing.T, claims ...string) string {
	t.Helper()
	c := controlplane.NewClient(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := c.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	for _, name := range claims {
		createClaim(t, ns.Name, name)
	}
	return ns.Name
}

func createClaim(t *testing.T, namespace, name string) {
	t.Helper()
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: *oneGi()}
	if err := controlplane.NewClient(t).Create(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until what holds, and tells why it didn't when it never does.
func eventually(t *testing.T, holds func() error) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatal(err)
		case <-tick.C:
		}
	}
}
