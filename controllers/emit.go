// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// emitAttempts is how often an event is tried at once. A second attempt at one that arrived, although its answer did not,
// finds it there.
const emitAttempts = 2

// emit writes an event for each transition and returns those for which it could not.
//
// Transitions are what differs between two statuses, so their events are written before the new status: an operator that
// dies in between writes them again when it is back. They stay single because their names follow from what happened.
func (r *BackupPolicyReconciler) emit(
	ctx context.Context, policy *backupv1alpha1.BackupPolicy, all []news,
) (unsent []news) {
	for _, n := range all {
		event := r.eventFor(policy, n)
		var err error
		for range emitAttempts {
			err = r.Create(ctx, event.DeepCopy(), FieldOwner)
			// Nobody reads the events of a namespace that is being deleted.
			if err == nil || apierrors.IsAlreadyExists(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
				err = nil
				break
			}
		}
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Could not write an event", "reason", n.reason, "note", n.message)
			unsent = append(unsent, n)
		}
	}
	return unsent
}

// eventFor is an event as the API core/v1 has it: events.k8s.io/v1 refuses lastTimestamp, by which kubectl sorts, and one
// that lacks it comes before all others in kubectl describe.
func (r *BackupPolicyReconciler) eventFor(policy *backupv1alpha1.BackupPolicy, n news) *corev1.Event {
	sum := sha256.Sum256([]byte(string(policy.UID) + "\x00" + n.key))
	now := r.Clock.Now()
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Name: policy.Name + "." + hex.EncodeToString(sum[:8]), Namespace: policy.Namespace,
		},
		EventTime:           metav1.NewMicroTime(now),
		FirstTimestamp:      metav1.NewTime(now),
		LastTimestamp:       metav1.NewTime(now),
		Count:               1,
		Source:              corev1.EventSource{Component: string(FieldOwner)},
		ReportingController: string(FieldOwner),
		ReportingInstance:   reportingInstance(),
		Type:                n.eventType,
		Reason:              n.reason,
		Action:              n.action,
		Message:             n.message,
		InvolvedObject: corev1.ObjectReference{
			APIVersion: backupv1alpha1.GroupVersion.String(), Kind: "BackupPolicy",
			Namespace: policy.Namespace, Name: policy.Name, UID: policy.UID,
			ResourceVersion: policy.ResourceVersion,
		},
	}
}

// outbox keeps the transitions of policies for whose events there was no way, until the policy is looked at again. A nil
// one keeps nothing.
type outbox struct {
	mu       sync.Mutex
	byPolicy map[types.NamespacedName][]news
}

// put keeps transitions.
func (o *outbox) put(policy types.NamespacedName, unsent []news) {
	if o == nil || len(unsent) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.byPolicy == nil {
		o.byPolicy = map[types.NamespacedName][]news{}
	}
	o.byPolicy[policy] = append(o.byPolicy[policy], unsent...)
}

// take returns what is kept of a policy, and no longer keeps it.
func (o *outbox) take(policy types.NamespacedName) []news {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	defer delete(o.byPolicy, policy)
	return o.byPolicy[policy]
}

// reportingInstance is the name of this operator's pod, as client-go's recorder of events gives it.
var reportingInstance = sync.OnceValue(func() string {
	host, err := os.Hostname()
	if err != nil {
		return string(FieldOwner)
	}
	return string(FieldOwner) + "-" + host
})
