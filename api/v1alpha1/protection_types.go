// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Protection answers whether the policy's data is protected: the worst that is true of the policy, in one word and in a
// message that says what to do.
type Protection struct {
	// state is the worst that is true of the policy, from the worst to the best:
	// Deleting (the policy is being deleted, so no more backups are made);
	// NotReady (the settings are not in effect);
	// Delayed (a run that should be in progress is not);
	// Disabled (both backups are disabled);
	// Suspended (suspend holds backups back);
	// Unbound (a claim has no volume yet);
	// Failing (the last run failed);
	// Incomplete (the last backup lacks something);
	// Unusual (the last backup lacks much that earlier ones hold);
	// NotSynchronized (rsyncDirectory does not hold what it should);
	// Warning (the last backup is complete, but its run found something wrong);
	// Running (a run is active);
	// Pending (no run has ended yet);
	// Protected (the last backup is complete).
	// +required
	State ProtectionState `json:"state,omitempty"`

	// message is what the state means here and, unless all is well, what to do.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32768
	// +optional
	Message string `json:"message,omitempty"`
}

// ProtectionState is one word for how well a policy's data is protected. It has no enum, so that an older CRD never
// rejects the status of a newer operator.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
type ProtectionState string

// The states, from the worst to the best.
const (
	// ProtectionDeleting means that the policy is being deleted.
	ProtectionDeleting ProtectionState = "Deleting"
	// ProtectionNotReady means that the condition Ready is not True.
	ProtectionNotReady ProtectionState = "NotReady"
	// ProtectionDelayed means that the condition Delayed is True.
	ProtectionDelayed ProtectionState = "Delayed"
	// ProtectionDisabled means that both backups are disabled.
	ProtectionDisabled ProtectionState = "Disabled"
	// ProtectionSuspended means that spec.suspend is true.
	ProtectionSuspended ProtectionState = "Suspended"
	// ProtectionUnbound means that a claim is not bound to a volume yet.
	ProtectionUnbound ProtectionState = "Unbound"
	// ProtectionFailing means that the last run failed.
	ProtectionFailing ProtectionState = "Failing"
	// ProtectionIncomplete means that the last run made an incomplete backup.
	ProtectionIncomplete ProtectionState = "Incomplete"
	// ProtectionUnusual means that the condition Unusual is True.
	ProtectionUnusual ProtectionState = "Unusual"
	// ProtectionNotSynchronized means that the last backup is complete, but that the condition Synchronized is not True.
	ProtectionNotSynchronized ProtectionState = "NotSynchronized"
	// ProtectionWarning means that the last run succeeded and has findings.
	ProtectionWarning ProtectionState = "Warning"
	// ProtectionRunning means that a run is active and that nothing worse is true.
	ProtectionRunning ProtectionState = "Running"
	// ProtectionPending means that no run has ended yet.
	ProtectionPending ProtectionState = "Pending"
	// ProtectionProtected means that the last backup is complete and, when asked for, synchronized.
	ProtectionProtected ProtectionState = "Protected"
)
