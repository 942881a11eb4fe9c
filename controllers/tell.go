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
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// tellAttempts is how often an event is tried at once. A second try of one that arrived although its answer did not finds
// it there.
const tellAttempts = 2

// tell writes an event for each piece of news and returns those for which it could not.
//
// News are what differs between two statuses, so they are told before the new one is written: an operator that dies
// before that tells them again when it is back, and one that died after it has told them. What keeps them from being
// told twice is the events' names, which follow from what happened.
func (r *BackupPolicyReconciler) tell(
	ctx context.Context, policy *backupv1alpha1.BackupPolicy, all []news,
) (untold []news) {
	for _, n := range all {
		event := r.eventFor(policy, n)
		var err error
		for range tellAttempts {
			if err = r.Create(ctx, event.DeepCopy(), FieldOwner); err == nil || apierrors.IsAlreadyExists(err) {
				err = nil
				break
			}
		}
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Could not write an event", "reason", n.reason, "note", n.message)
			untold = append(untold, n)
		}
	}
	return untold
}

func (r *BackupPolicyReconciler) eventFor(policy *backupv1alpha1.BackupPolicy, n news) *eventsv1.Event {
	sum := sha256.Sum256([]byte(string(policy.UID) + "\x00" + n.key))
	return &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Name: policy.Name + "." + hex.EncodeToString(sum[:8]), Namespace: policy.Namespace,
		},
		EventTime:           metav1.NewMicroTime(r.Clock.Now()),
		ReportingController: string(FieldOwner),
		ReportingInstance:   reportingInstance(),
		Type:                n.eventType,
		Reason:              n.reason,
		Action:              n.action,
		Note:                n.message,
		Regarding: corev1.ObjectReference{
			APIVersion: backupv1alpha1.GroupVersion.String(), Kind: "BackupPolicy",
			Namespace: policy.Namespace, Name: policy.Name, UID: policy.UID,
			ResourceVersion: policy.ResourceVersion,
		},
	}
}

// reportingInstance is the name of this operator's pod, as client-go's recorder of events gives it.
var reportingInstance = sync.OnceValue(func() string {
	host, err := os.Hostname()
	if err != nil {
		return string(FieldOwner)
	}
	return string(FieldOwner) + "-" + host
})
