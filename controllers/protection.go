// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// protectionOf answers whether the data is protected: the worst that the status says, with the message that belongs to
// it. unbound are the policy's claims that have no volume yet.
func protectionOf(status *backupv1alpha1.BackupPolicyStatus, unbound []string) *backupv1alpha1.Protection {
	p := worstOf(status, unbound)
	if active := strings.Join(status.ActiveJobs, ", "); active != "" &&
		p.State != backupv1alpha1.ProtectionRunning && p.State != backupv1alpha1.ProtectionDelayed {
		p.Message += "; active: " + active
	}
	p.Message = cut(p.Message, maxConditionMessage)
	return &p
}

// worstOf is protectionOf without the runs that are active beside something worse. The order of its cases is that of
// the states.
func worstOf(status *backupv1alpha1.BackupPolicyStatus, unbound []string) backupv1alpha1.Protection {
	ready := conditionOf(status, backupv1alpha1.ConditionReady)
	delayed := conditionOf(status, backupv1alpha1.ConditionDelayed)
	switch {
	case ready.Status != metav1.ConditionTrue:
		return backupv1alpha1.Protection{State: backupv1alpha1.ProtectionNotReady, Message: ready.Message}
	case delayed.Status == metav1.ConditionTrue:
		return backupv1alpha1.Protection{State: backupv1alpha1.ProtectionDelayed, Message: delayed.Message}
	case ready.Reason == backupv1alpha1.ReasonDisabled:
		return backupv1alpha1.Protection{State: backupv1alpha1.ProtectionDisabled, Message: ready.Message}
	case ready.Reason == backupv1alpha1.ReasonSuspended:
		return backupv1alpha1.Protection{State: backupv1alpha1.ProtectionSuspended, Message: ready.Message}
	case len(unbound) > 0:
		return backupv1alpha1.Protection{State: backupv1alpha1.ProtectionUnbound, Message: unboundMessage(unbound)}
	default:
		return worstOfRuns(status)
	}
}

// worstOfRuns is the worst that the runs say of a policy whose settings are in effect.
func worstOfRuns(status *backupv1alpha1.BackupPolicyStatus) backupv1alpha1.Protection {
	backup := conditionOf(status, backupv1alpha1.ConditionBackupSucceeded)
	p := backupv1alpha1.Protection{Message: backup.Message}
	last, unusual := status.LastRun, conditionOf(status, backupv1alpha1.ConditionUnusual)
	sync := meta.FindStatusCondition(status.Conditions, backupv1alpha1.ConditionSynchronized)
	switch {
	case last == nil:
		p.State = backupv1alpha1.ProtectionPending
		if next := status.NextScheduleTime; next != nil {
			p.Message += "; the first one starts at " + next.UTC().Format(time.RFC3339)
		}
	case last.Outcome == backupv1alpha1.OutcomeIncomplete:
		p.State = backupv1alpha1.ProtectionIncomplete
	case backup.Status == metav1.ConditionFalse:
		p.State = backupv1alpha1.ProtectionFailing
	case unusual.Status == metav1.ConditionTrue:
		p.State, p.Message = backupv1alpha1.ProtectionUnusual, unusual.Message
	case sync != nil && sync.Status != metav1.ConditionTrue:
		p.State, p.Message = backupv1alpha1.ProtectionNotSynchronized, sync.Message
	case len(last.Findings) > 0:
		p.State, p.Message = backupv1alpha1.ProtectionWarning, findingsMessage(last.Findings)
	default:
		p.State = backupv1alpha1.ProtectionProtected
	}
	if idle := p.State == backupv1alpha1.ProtectionPending || p.State == backupv1alpha1.ProtectionProtected; idle &&
		len(status.ActiveJobs) > 0 {
		p.State = backupv1alpha1.ProtectionRunning
		p.Message = fmt.Sprintf("active: %s; before it: %s", strings.Join(status.ActiveJobs, ", "), backup.Message)
	}
	return p
}

// conditionOf is a condition of the status; an empty one if it is not there.
func conditionOf(status *backupv1alpha1.BackupPolicyStatus, conditionType string) metav1.Condition {
	if c := meta.FindStatusCondition(status.Conditions, conditionType); c != nil {
		return *c
	}
	return metav1.Condition{}
}

func findingsMessage(findings []backupv1alpha1.Finding) string {
	messages := make([]string, len(findings))
	for i, f := range findings {
		messages[i] = f.Reason + ": " + f.Message
	}
	return strings.Join(messages, "; ")
}

func unboundMessage(claims []string) string {
	return fmt.Sprintf("not bound to a volume yet: the claim %s; kubectl describe pvc says why: a claim whose storage class "+
		"waits for its first consumer is bound when the first run starts, any other needs a volume or a provisioner",
		strings.Join(claims, ", "))
}

// unboundClaims are the policy's claims that have no volume yet, sorted. A run may be what binds them, so they are no
// reason not to start one.
func unboundClaims(spec *backupv1alpha1.BackupPolicySpec, claims map[string]claim) []string {
	return slices.DeleteFunc(claimNames(spec), func(name string) bool {
		return claims[name].phase != corev1.ClaimPending
	})
}

// deletingProtection is that of a policy whose deletion waits, for a Job of its own for example.
func deletingProtection() *backupv1alpha1.Protection {
	return &backupv1alpha1.Protection{
		State: backupv1alpha1.ProtectionDeleting,
		Message: "the policy is being deleted, and its CronJob with it: no more backups are made, and those that there are " +
			"stay",
	}
}
