// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/internal/report"
)

// takeUnusual records whether a run's backup is unusual. A run that made none says nothing about it.
func takeUnusual(c conditions, run *endedRun) {
	if run.report == nil || run.report.Archive == nil {
		return
	}
	var reason report.FindingReason
	var messages []string
	for _, f := range run.report.Findings {
		if !f.Reason.Unusual() {
			continue
		}
		if reason == "" {
			reason = f.Reason
		}
		messages = append(messages, f.Message)
	}
	if reason == "" {
		meta.RemoveStatusCondition(&c.status.Conditions, backupv1alpha1.ConditionUnusual)
		return
	}
	c.setFromRun(backupv1alpha1.ConditionUnusual, metav1.ConditionTrue, string(reason), strings.Join(messages, "; "))
}
