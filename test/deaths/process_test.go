// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package deaths tests that the operator may fail or die at each of its calls of the API server: the next one goes on
// where it stopped, and nothing is lost or done twice.
package deaths

import (
	"context"
	"errors"
	"os"
	"reflect"
	"testing"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/controllers"
	"appliance.io/backup-operator/test/controlplane"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(controlplane.Run(m))
}

// mode is what goes wrong with a call. That the operator dies before one is no mode of its own: it is the same as dying
// after the one before.
type mode string

const (
	// fails: the call is refused for now, and the operator is told.
	fails mode = "fails"
	// answerIsLost: the call is done, and the operator is told that it is not known whether.
	answerIsLost mode = "answer is lost"
	// diesAfter: the call is done, and the operator dies.
	diesAfter mode = "dies after"
)

// fault is one call that goes wrong.
type fault struct {
	// call is the number of the call, from 1; 0 for none.
	call int
	mode mode
}

// call is a call of the API server.
type call struct {
	what   string
	writes bool
}

var errDead = errors.New("the operator is dead")

// process is an operator from its start to its death. It has no cache, so that what it calls is the same each time.
type process struct {
	*controllers.BackupPolicyReconciler
	fault fault
	calls []call
	dead  bool
}

func newProcess(direct client.WithWatch, f fault) *process {
	p := &process{fault: f}
	faulty := interceptor.NewClient(direct, p.calling())
	p.BackupPolicyReconciler = &controllers.BackupPolicyReconciler{
		Client: faulty, APIReader: faulty, Mirrors: controllers.FixedMirrors(), Clock: clock.RealClock{},
		Options: controllers.Options{RunnerImage: "backup-operator:test"},
	}
	return p
}

// do does a call, unless it is the one that goes wrong.
func (p *process) do(c call, really func() error) error {
	if p.dead {
		return errDead
	}
	p.calls = append(p.calls, c)
	if len(p.calls) != p.fault.call {
		return really()
	}
	if p.fault.mode == fails {
		return apierrors.NewServiceUnavailable("for now")
	}
	if err := really(); err != nil {
		return err
	}
	if p.fault.mode == diesAfter {
		p.dead = true
		return errDead
	}
	return apierrors.NewTimeoutError("the answer is lost", 1)
}

func (p *process) calling() interceptor.Funcs {
	kind := func(object any) string { return reflect.TypeOf(object).Elem().Name() }
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return p.do(call{what: "get " + kind(o)}, func() error { return c.Get(ctx, key, o, opts...) })
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return p.do(call{what: "list " + kind(list)}, func() error { return c.List(ctx, list, withoutIndexes(opts)...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return p.do(call{"create " + kind(o), true}, func() error { return c.Create(ctx, o, opts...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			return p.do(call{"apply CronJob", true}, func() error { return c.Apply(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, patch client.Patch,
			opts ...client.SubResourcePatchOption,
		) error {
			return p.do(call{"patch " + sub, true}, func() error { return c.SubResource(sub).Patch(ctx, o, patch, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			return p.do(call{"patch " + kind(o), true}, func() error { return c.Patch(ctx, o, patch, opts...) })
		},
		Update: func(context.Context, client.WithWatch, client.Object, ...client.UpdateOption) error {
			return errors.New("the operator updates nothing, as far as this test knows")
		},
		Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error {
			return errors.New("the operator deletes nothing, as far as this test knows")
		},
	}
}

// withoutIndexes has the API server select by label what the cache would by its index.
func withoutIndexes(opts []client.ListOption) []client.ListOption {
	out := make([]client.ListOption, 0, len(opts))
	for _, opt := range opts {
		if fields, ok := opt.(client.MatchingFields); ok {
			opt = client.MatchingLabels{backupv1alpha1.LabelPolicy: fields["policy"]}
		}
		out = append(out, opt)
	}
	return out
}
