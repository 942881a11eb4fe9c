// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// withObstacles is the readiness of a policy whose settings are in force, and what in the cluster keeps its runs from
// starting all the same.
func withObstacles(r readiness, spec *backupv1alpha1.BackupPolicySpec, claims map[string]claim) readiness {
	if r.status != metav1.ConditionTrue || disabled(spec) {
		return r
	}
	if missing := missingClaims(spec, claims); len(missing) > 0 {
		return waitingForClaims(r, missing)
	}
	return r
}

// waitingForClaims is the readiness of a policy whose CronJob stands but whose runs can't start. It is not stalled: a
// claim that is applied together with the policy may come a moment later.
func waitingForClaims(r readiness, missing []string) readiness {
	r.status, r.beside = metav1.ConditionFalse, backupv1alpha1.ConditionReconciling
	r.reason = backupv1alpha1.ReasonClaimNotFound
	r.message = fmt.Sprintf("there is no PersistentVolumeClaim %s in the policy's namespace, so runs can't start: make it, "+
		"or correct the name", strings.Join(missing, ", "))
	return r
}
