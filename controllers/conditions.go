// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"regexp"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// maxConditionMessage is the longest message that the API takes in a condition, from metav1.Condition.
const maxConditionMessage = 32768

// reasonPattern is what the API takes as the reason of a condition, from metav1.Condition, and of at most as many bytes as
// it takes in an event.
var reasonPattern = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]{0,126}[A-Za-z0-9_])?$`)

// validReason is a reason as the API takes it. Reasons also come from others: a runner, the Job controller, a container
// runtime. One that is not valid would have the API server refuse the whole status.
func validReason(reason string) string {
	if reasonPattern.MatchString(reason) {
		return reason
	}
	return backupv1alpha1.ReasonFailed
}

// conditions sets conditions in a status.
type conditions struct {
	status     *backupv1alpha1.BackupPolicyStatus
	generation int64
	now        metav1.Time
}

// get is a condition as it stands; nil if there is none.
func (c conditions) get(conditionType string) *metav1.Condition {
	return meta.FindStatusCondition(c.status.Conditions, conditionType)
}

// setFromRun sets a condition that speaks of a run. One that says the same already stays as it is, and with it the
// generation that it was said of: after the settings have changed, it is the old ones that a run speaks for.
func (c conditions) setFromRun(conditionType string, status metav1.ConditionStatus, reason, message string) {
	reason, message = validReason(reason), cut(message, maxConditionMessage)
	if known := c.get(conditionType); known == nil || known.Status != status || known.Reason != reason ||
		known.Message != message {
		c.set(conditionType, status, reason, message)
	}
}

// set sets a condition for the present generation.
func (c conditions) set(conditionType string, status metav1.ConditionStatus, reason, message string) {
	condition := metav1.Condition{
		Type: conditionType, Status: status, Reason: validReason(reason), Message: cut(message, maxConditionMessage),
		ObservedGeneration: c.generation,
	}
	if known := c.get(conditionType); known == nil || known.Status != status {
		condition.LastTransitionTime = c.now
	}
	meta.SetStatusCondition(&c.status.Conditions, condition)
}
