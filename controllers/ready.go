// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// Filled makes a check that passes once the operator knows all that it goes by: the caches and the mirrors are filled. A
// replica that passes it can work as soon as it is elected. It passes even while the
// API server is away, because what is known stays known: watches.Health is for that.
func (r *BackupPolicyReconciler) Filled(ctx context.Context, informers cache.Informers) (healthz.Checker, error) {
	synced := map[string]func() bool{}
	for name, object := range map[string]client.Object{
		"BackupPolicies":  &backupv1alpha1.BackupPolicy{},
		"Jobs":            &batchv1.Job{},
		"pods of backups": &corev1.Pod{},
	} {
		informer, err := informers.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, fmt.Errorf("watch %s: %w", name, err)
		}
		synced[name] = informer.HasSynced
	}
	return func(*http.Request) error {
		missing := []error{r.Mirrors.checkSynced()}
		for name, isSynced := range synced {
			if !isSynced() {
				missing = append(missing, fmt.Errorf("the %s are not known yet", name))
			}
		}
		return errors.Join(missing...)
	}, nil
}
