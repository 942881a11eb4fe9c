// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// Metrics tells Prometheus of each policy what its status says, and of the operator what controller-runtime counts.
//
// Nothing is counted for policies: all figures are those of the status, so every replica tells the same, a restart loses
// nothing, and a policy that is deleted is gone from the next scrape on. It holds no copy of a policy either, only a
// pointer to the one in the cache, and writes one family of metrics after the other: a scrape of 10,000 policies needs
// hardly more memory than one of none.
type Metrics struct {
	version string

	mu       sync.RWMutex
	policies map[types.NamespacedName]*measuredPolicy
	synced   func() bool
}

// measuredPolicy is a policy with what its metrics need besides and is not worth working out at each scrape.
type measuredPolicy struct {
	// BackupPolicy is the cache's own: read only.
	*backupv1alpha1.BackupPolicy
	// interval is the time between the next run and the one after it; 0 when none is scheduled.
	interval time.Duration
	// due is when a complete backup is due, for want of which backups count as missed; zero when none is scheduled.
	due time.Time
}

// NewMetrics returns the metrics of an operator of this version. They speak of policies once Watch is called.
func NewMetrics(version string) *Metrics {
	return &Metrics{
		version:  version,
		policies: map[types.NamespacedName]*measuredPolicy{},
		synced:   func() bool { return false },
	}
}

// Watch has the metrics follow the policies in a cache, in every replica.
func (m *Metrics) Watch(ctx context.Context, policies cache.Cache) error {
	informer, err := policies.GetInformer(ctx, &backupv1alpha1.BackupPolicy{})
	if err != nil {
		return err
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    m.set,
		UpdateFunc: func(_, policy any) { m.set(policy) },
		DeleteFunc: m.forget,
	})
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synced = registration.HasSynced
	return nil
}

func (m *Metrics) set(object any) {
	policy, ok := object.(*backupv1alpha1.BackupPolicy)
	if !ok {
		return
	}
	measured := measure(policy)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.policies[types.NamespacedName{Namespace: policy.Namespace, Name: policy.Name}] = measured
}

func (m *Metrics) forget(object any) {
	key, err := toolscache.DeletionHandlingMetaNamespaceKeyFunc(object)
	if err != nil {
		return
	}
	namespace, name, err := toolscache.SplitMetaNamespaceKey(key)
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.policies, types.NamespacedName{Namespace: namespace, Name: name})
}

// sorted are the policies as they are now, in the order of their names, and whether all have been read yet.
func (m *Metrics) sorted() (policies []*measuredPolicy, complete bool) {
	m.mu.RLock()
	policies = make([]*measuredPolicy, 0, len(m.policies))
	for _, policy := range m.policies {
		policies = append(policies, policy)
	}
	synced := m.synced
	m.mu.RUnlock()
	slices.SortFunc(policies, func(a, b *measuredPolicy) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return policies, synced()
}

// measure works out what the schedule says.
func measure(policy *backupv1alpha1.BackupPolicy) *measuredPolicy {
	measured := &measuredPolicy{BackupPolicy: policy}
	status := &policy.Status
	if status.NextScheduleTime == nil {
		return measured
	}
	schedule, err := parseSchedule(status.Schedule, policy.Spec.TimeZone, "")
	if err != nil {
		return measured
	}
	next := status.NextScheduleTime.Time
	measured.interval = schedule.Next(next).Sub(next)
	measured.due = backupDue(policy, schedule)
	return measured
}

// backupDue is when the second run since the last complete backup is due. That is by the schedule, but for runs that were
// never due, because backups were suspended or disabled meanwhile: before anything has failed or was missed, the time is
// counted from the first run that there really was, or will be.
func backupDue(policy *backupv1alpha1.BackupPolicy, schedule *Schedule) time.Time {
	status, since := &policy.Status, protectedSince(policy)
	started := laterThan(status.LastScheduleTime, since)
	switch {
	case laterThan(status.LastMissedTime, since), started && ptr.Deref(status.ConsecutiveFailures, 0) > 0:
		return schedule.Next(schedule.Next(since))
	case started:
		return schedule.Next(status.LastScheduleTime.Time)
	default:
		return schedule.Next(status.NextScheduleTime.Time)
	}
}
