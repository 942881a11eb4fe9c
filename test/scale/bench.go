// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// quiet is for how long nothing must be written until the operator has done what it had to.
const quiet = 5 * time.Second

// patience is how long anything that has an end may take.
const patience = 20 * time.Minute

// bench does one measurement after the other, in the same cluster.
type bench struct {
	options
	cluster  *cluster
	program  string
	dir      string
	operator *operator
	results  results
}

func (b *bench) run(ctx context.Context) (_ *results, err error) {
	defer func() {
		if b.operator != nil {
			err = errors.Join(err, b.operator.stop())
		}
		err = errors.Join(err, b.keepLogs())
	}()
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"fill the cluster", b.fill},
		{"apply policies while the operator works", b.live},
		{"create CronJobs in a bare loop", b.bare},
		{"start the operator with all policies there", b.backlog},
		{"rest", b.atRest},
		{"restart", b.restart},
		{"end Jobs at once", b.endAtOnce},
	}
	for _, step := range steps {
		began := time.Now()
		if err := step.do(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
		logf("%s: done in %s", step.name, time.Since(began).Round(time.Second/10))
	}
	return &b.results, nil
}

func (b *bench) start(ctx context.Context) error {
	var err error
	b.operator, err = startOperator(ctx, b.program, b.dir, b.cluster)
	return err
}

func (b *bench) stop() error {
	o := b.operator
	b.operator = nil
	return o.stop()
}

// live applies the policies while the operator is there.
func (b *bench) live(ctx context.Context) error {
	ctx, cancel := withPatience(ctx)
	defer cancel()
	if err := b.start(ctx); err != nil {
		return err
	}
	if _, err := b.operator.untilReady(ctx); err != nil {
		return err
	}
	err := poll(ctx, func() (bool, error) { // The metrics may be served a little later.
		workers, err := b.operator.value(ctx, `controller_runtime_max_concurrent_reconciles{controller="backuppolicy"}`)
		b.results.workers = int(workers)
		return err == nil && workers > 0, b.operator.alive()
	})
	if err != nil {
		return err
	}
	cronJobs := b.watch(ctx, cronJobMetadata(), count(b.policies, owned))
	began := time.Now()
	if err := b.createPolicies(ctx, b.results.workers); err != nil {
		return err
	}
	b.results.applied = time.Since(began)
	if err := cronJobs.wait(ctx); err != nil {
		return err
	}
	b.results.live = time.Since(began)
	if err := b.settle(ctx); err != nil {
		return err
	}
	return b.stop()
}

// bare creates as many CronJobs as there are policies, each like those that the operator has made, with its credentials
// and as many workers as it has, one request for each: once by applying, as the operator does, and once by creating.
// Before and after it nothing of the kind is there.
func (b *bench) bare(ctx context.Context) error {
	ctx, cancel := withPatience(ctx)
	defer cancel()
	made := make([]*batchv1.CronJob, b.policies)
	err := each(ctx, loaders, b.policies, func(ctx context.Context, i int) error {
		key := client.ObjectKey{Namespace: namespaceOf(i), Name: policyName(i) + "-backup"}
		var cronJob batchv1.CronJob
		if err := b.cluster.admin.Get(ctx, key, &cronJob); err != nil {
			return err
		}
		made[i] = &batchv1.CronJob{
			ObjectMeta: metav1.ObjectMeta{
				Name: cronJob.Name, Namespace: cronJob.Namespace, Labels: cronJob.Labels,
				OwnerReferences: cronJob.OwnerReferences,
			},
			Spec: cronJob.Spec,
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := errors.Join(b.deleteAll(ctx, &backupv1alpha1.BackupPolicy{}), b.deleteAll(ctx, &batchv1.CronJob{})); err != nil {
		return err
	}
	b.results.bareApply, err = b.loop(ctx, func(ctx context.Context, i int) error {
		return b.applyAlike(ctx, made[i])
	})
	if err != nil {
		return err
	}
	b.results.bare, err = b.loop(ctx, func(ctx context.Context, i int) error {
		return b.cluster.asOperator.Create(ctx, made[i])
	})
	return err
}

// loop makes a CronJob for each policy, measures that and removes them.
func (b *bench) loop(ctx context.Context, make func(ctx context.Context, i int) error) (cost, error) {
	elapsed, err := stopwatch()
	if err != nil {
		return cost{}, err
	}
	if err := each(ctx, b.results.workers, b.policies, make); err != nil {
		return cost{}, err
	}
	took, err := elapsed()
	if err != nil {
		return cost{}, err
	}
	if _, err := b.cluster.audit.next(); err != nil { // These weren't the operator's.
		return cost{}, err
	}
	return took, b.deleteAll(ctx, &batchv1.CronJob{})
}

// applyAlike makes a CronJob by the request that the operator makes it by.
func (b *bench) applyAlike(ctx context.Context, cronJob *batchv1.CronJob) error {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(cronJob)
	if err != nil {
		return err
	}
	delete(fields, "status")
	object := &unstructured.Unstructured{Object: fields}
	object.SetGroupVersionKind(batchv1.SchemeGroupVersion.WithKind("CronJob"))
	return b.cluster.asOperator.Apply(ctx, client.ApplyConfigurationFromUnstructured(object),
		client.FieldOwner("backup-operator"), client.ForceOwnership)
}

// backlog starts the operator when all policies are there and none has its CronJob.
func (b *bench) backlog(ctx context.Context) error {
	ctx, cancel := withPatience(ctx)
	defer cancel()
	if err := b.createPolicies(ctx, loaders); err != nil {
		return err
	}
	sinceStart, err := stopwatch()
	if err != nil {
		return err
	}
	if err := b.start(ctx); err != nil {
		return err
	}
	if b.results.firstReady, err = b.operator.untilReady(ctx); err != nil {
		return err
	}
	sinceReady, err := stopwatch()
	if err != nil {
		return err
	}
	// Watching the CronJobs would be work for the API server that the bare loop doesn't have.
	made, err := b.cluster.audit.until(ctx, "create cronjobs", b.policies)
	if err != nil {
		return err
	}
	if b.results.backlog, err = sinceReady(); err != nil {
		return err
	}
	if b.results.backlogFromStart, err = sinceStart(); err != nil {
		return err
	}
	if err := b.settle(ctx); err != nil {
		return err
	}
	b.results.firstWrites.add(made)
	b.results.settled = b.results.lastWrite.Sub(b.operator.started)
	return nil
}

// settle waits until each policy's status says what there is to say and nothing more is written.
func (b *bench) settle(ctx context.Context) error {
	policies := b.watch(ctx, &backupv1alpha1.BackupPolicyList{}, count(b.policies, ready))
	if err := policies.wait(ctx); err != nil {
		return err
	}
	written, last, err := b.cluster.audit.untilQuiet(ctx)
	b.results.firstWrites, b.results.lastWrite = written, last
	return err
}

func ready(object client.Object) bool {
	policy, ok := object.(*backupv1alpha1.BackupPolicy)
	return ok && policy.Status.ObservedGeneration == policy.Generation &&
		meta.IsStatusConditionTrue(policy.Status.Conditions, backupv1alpha1.ConditionReady)
}

// owned says whether an object belongs to a policy.
func owned(object client.Object) bool {
	owner := metav1.GetControllerOf(object)
	return owner != nil && owner.Kind == "BackupPolicy"
}

func cronJobMetadata() *metav1.PartialObjectMetadataList {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(batchv1.SchemeGroupVersion.WithKind("CronJobList"))
	return list
}

// atRest lets time pass in which nothing is to do, but for who reads the metrics.
func (b *bench) atRest(ctx context.Context) error {
	end := time.NewTimer(b.rest)
	defer end.Stop()
	tick := time.NewTicker(b.scrape)
	defer tick.Stop()
	for {
		began := time.Now()
		body, err := b.operator.scrape(ctx)
		if err != nil {
			return err
		}
		b.results.scrapeBytes, b.results.scrape = len(body), max(b.results.scrape, time.Since(began))
		select {
		case <-tick.C:
		case <-end.C:
			if b.results.atRest, err = b.cluster.audit.next(); err != nil {
				return err
			}
			b.results.memory, b.results.peak, err = b.operator.memory()
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// restart ends the operator and starts it anew.
func (b *bench) restart(ctx context.Context) error {
	ctx, cancel := withPatience(ctx)
	defer cancel()
	if err := b.stop(); err != nil {
		return err
	}
	if err := b.start(ctx); err != nil {
		return err
	}
	var err error
	if b.results.ready, err = b.operator.untilReady(ctx); err != nil {
		return err
	}
	err = poll(ctx, func() (bool, error) {
		done, err := b.operator.value(ctx, `controller_runtime_reconcile_total{controller="backuppolicy"`)
		if err != nil {
			return false, b.operator.alive()
		}
		left, err := b.operator.value(ctx, `workqueue_depth{controller="backuppolicy"`)
		b.results.caughtUp = time.Since(b.operator.started)
		return err == nil && int(done) >= b.policies && left == 0, b.operator.alive()
	})
	if err != nil {
		return err
	}
	b.results.afterRestart, _, err = b.cluster.audit.untilQuiet(ctx)
	if err != nil {
		return err
	}
	b.results.memoryAfterRestart, b.results.peakAfterRestart, err = b.operator.memory()
	return err
}

// keepLogs keeps what the operator said, if that is wanted.
func (b *bench) keepLogs() error {
	if b.profiles == "" {
		return nil
	}
	content, err := os.ReadFile(filepath.Join(b.dir, "operator.log"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.profiles, "operator.log"), content, 0o600)
}

func withPatience(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, patience, fmt.Errorf("not done within %s", patience))
}
