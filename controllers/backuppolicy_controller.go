// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package controllers is the operator: it keeps one CronJob for each BackupPolicy as the policy wants it, and the
// policy's status as the CronJob's Jobs turn out.
//
// The CronJob holds everything that a run needs, so backups go on while the operator is down. Reconcile reads what there
// is (observe.go), decides (settings.go, schedule.go and cronjob.go, pure functions), applies the CronJob if it differs
// (apply.go) and derives the status (runs.go and status.go, pure functions again).
package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// FieldOwner is the operator's name as a field manager of server-side apply.
const FieldOwner = client.FieldOwner("backup-operator")

// scheduleGrace is how long after its time a run's start may take to show before the next run's time is looked at anew.
const scheduleGrace = 5 * time.Second

// refusedPause is how long to wait before a CronJob that the API server refused is tried again: a quota or an admission
// policy may have been mended, and nothing else tells of that.
const refusedPause = 2 * time.Minute

// Options are the administrator's settings of the operator, the same for all policies.
type Options struct {
	// RunnerImage is the image of the runner's container: the operator's own. Required.
	RunnerImage string
	// AllowHostPath says whether policies may name hostPath volumes. Default: false.
	AllowHostPath bool
	// StartGrace is how long a run may take to start before the policy's status tells of it. Default: 2 minutes.
	StartGrace time.Duration
}

// BackupPolicyReconciler reconciles BackupPolicies.
type BackupPolicyReconciler struct {
	client.Client
	// APIReader reads from the API server itself, where a cache that is behind could do harm.
	APIReader client.Reader
	// Mirrors knows the CronJobs, the claims and the pods that hold these. SetupWithManager has the manager run it.
	Mirrors *Mirrors
	Clock   clock.PassiveClock
	Options Options

	// events reads what Kubernetes says of runs that don't go on. SetupWithManager sets it.
	events *eventReader
	// unsent keeps what events could not be written for. SetupWithManager sets it.
	unsent *outbox
	// started is when the operator began to look: at the first policy, which a standby replica doesn't do before it is
	// elected. SetupWithManager sets it; nil where that doesn't matter.
	started func() time.Time
}

// +kubebuilder:rbac:groups=backup.appliance.io,resources=backuppolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=backup.appliance.io,resources=backuppolicies/status,verbs=patch
// +kubebuilder:rbac:groups=backup.appliance.io,resources=backuppolicies/finalizers,verbs=update
// +kubebuilder:rbac:groups=batch,resources=cronjobs,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=batch,resources=cronjobs/status,verbs=patch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=pods;persistentvolumeclaims,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=events,verbs=list;create

// Reconcile makes the policy's CronJob as the policy wants it and its status as things are. Deleting a policy needs
// nothing of it: the CronJob and its Jobs are the policy's own, so Kubernetes deletes them, and the backups are nobody's
// but the administrator's.
func (r *BackupPolicyReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var policy backupv1alpha1.BackupPolicy
	if err := r.Get(ctx, req.NamespacedName, &policy); err != nil {
		if apierrors.IsNotFound(err) {
			r.unsent.take(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !policy.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, client.IgnoreNotFound(r.writeDeleting(ctx, &policy))
	}
	observed, err := r.observe(ctx, &policy)
	if err != nil {
		return ctrl.Result{}, err
	}
	state, applyErr := r.enforce(ctx, &policy, observed)
	if state.isNew {
		// Backups don't need the status: the CronJobs of other new policies come before it. The CronJob's arrival
		// in the mirror brings the policy here again.
		return ctrl.Result{}, nil
	}
	now := r.Clock.Now()
	var replaceErr error
	observed.jobs, replaceErr = r.replaceOutdated(ctx, &policy, &state, observed, now)
	answer, runErr := r.runNow(ctx, &policy, &state, observed)
	observed.jobs = withJob(observed.jobs, answer.job)

	r.listen(ctx, &policy, state, &observed, now)
	status := nextStatus(&policy, state, observed, now)
	answer.into(status)
	allSent, err := r.writeStatus(ctx, &policy, status)
	if err != nil {
		if apierrors.IsConflict(err) {
			// The cache is behind our own last write. What was counted from it must not be written: look again.
			return ctrl.Result{RequeueAfter: time.Second}, nil
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	again := sooner(state.retryAfter, observed.lookAgainIn(status, now))
	if !allSent {
		again = sooner(again, refusedPause)
	}
	return ctrl.Result{RequeueAfter: again}, errors.Join(applyErr, replaceErr, runErr)
}

// enforce brings the CronJob in line with the policy and says how that went. The error is a passing fault; what the
// user has to mend is in the state alone, because trying again can't help.
func (r *BackupPolicyReconciler) enforce(
	ctx context.Context, policy *backupv1alpha1.BackupPolicy, observed observation,
) (readiness, error) {
	current := observed.cronJob
	schedule, fault := checkSettings(policy, r.Options)
	if fault != nil {
		return stalled(current, fault), nil
	}
	wanted := BuildCronJob(policy, schedule, observed.claims, r.Options)
	if current == nil {
		var err error
		if current, err = r.createOrGetCronJob(ctx, policy, wanted); err != nil {
			return notApplied(schedule, nil, err)
		}
		if current == nil {
			state := inForce(policy, schedule)
			state.isNew = true
			return state, nil
		}
	}
	if !current.ownedBy(policy) {
		return stalled(nil, notOwned(policy)), nil
	}
	if err := r.applyCronJob(ctx, wanted, current); err != nil {
		return notApplied(schedule, current, err)
	}
	state := inForce(policy, schedule)
	state.template = wanted.Spec.JobTemplate.Annotations[backupv1alpha1.AnnotationTemplate]
	return state, nil
}

// notApplied is the readiness of a policy whose CronJob could not be brought in line, and the error if it is a passing one.
func notApplied(schedule *Schedule, current *cronJobRecord, err error) (readiness, error) {
	if isRefused(err) {
		state := stalled(current, refusal("CronJob", err))
		if state.reason == backupv1alpha1.ReasonNamespaceTerminating {
			state.beside = backupv1alpha1.ConditionReconciling // Nobody has to act.
		}
		state.retryAfter = refusedPause
		return state, nil
	}
	return progressing(schedule, current, err), err
}

// writeDeleting has the status of a policy whose deletion waits say so. The rest of the status stays as it was.
func (r *BackupPolicyReconciler) writeDeleting(ctx context.Context, policy *backupv1alpha1.BackupPolicy) error {
	status := policy.Status.DeepCopy()
	status.Protection = deletingProtection()
	_, err := r.writeStatus(ctx, policy, status)
	return err
}

// writeStatus patches the status if it differs, and writes an event for each transition in it. It demands that the policy
// is still the one that was read, because counters in the status go on from there.
func (r *BackupPolicyReconciler) writeStatus(
	ctx context.Context, policy *backupv1alpha1.BackupPolicy, status *backupv1alpha1.BackupPolicyStatus,
) (allSent bool, err error) {
	key := client.ObjectKeyFromObject(policy)
	late := r.unsent.take(key)
	unsent := r.emit(ctx, policy, slices.Concat(late, newsBetween(&policy.Status, status)))
	if !sameStatus(&policy.Status, status) {
		policy.Status = *status
		var patch client.Patch
		if patch, err = replaceStatus(policy); err == nil {
			err = r.Status().Patch(ctx, policy, patch, FieldOwner)
		}
	}
	if err != nil {
		if f := refusal("status", err); f.reason == backupv1alpha1.ReasonOperatorNotPermitted {
			// The status can't say it.
			note := cut(f.message, maxEventNote)
			_ = r.emit(ctx, policy, []news{{corev1.EventTypeWarning, f.reason, actionReconcile, note, f.reason}})
		}
		r.unsent.put(key, late) // All others are found again.
		return false, err
	}
	r.unsent.put(key, unsent)
	return len(unsent) == 0, nil
}

// replaceStatus is the patch that replaces the whole status, if the policy is still the one that was read. A part of the
// stored status that can't be decoded goes with it.
func replaceStatus(policy *backupv1alpha1.BackupPolicy) (client.Patch, error) {
	patch, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/resourceVersion", "value": policy.ResourceVersion},
		{"op": "add", "path": "/status", "value": policy.Status},
	})
	return client.RawPatch(types.JSONPatchType, patch), err
}
