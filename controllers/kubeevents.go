// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// kubeEvent is what a component of Kubernetes said of an object in an event of type Warning.
type kubeEvent struct {
	reason, message string
	at              time.Time
}

// newestOf is the newest event with one of these reasons, or of any reason when none is named; nil if there is none. One
// that gives a cause is preferred to one that doesn't.
func newestOf(said []kubeEvent, reasons ...string) *kubeEvent {
	var newest *kubeEvent
	better := func(a, b *kubeEvent) bool {
		if a.saysWhy() != b.saysWhy() {
			return a.saysWhy()
		}
		return a.at.After(b.at)
	}
	for i := range said {
		if len(reasons) > 0 && !slices.Contains(reasons, said[i].reason) {
			continue
		}
		if newest == nil || better(&said[i], newest) {
			newest = &said[i]
		}
	}
	return newest
}

// saidSince are the events of a time or later.
func saidSince(said []kubeEvent, since time.Time) []kubeEvent {
	return slices.DeleteFunc(slices.Clone(said), func(e kubeEvent) bool { return e.at.Before(since) })
}

// saidOnNode are the events about a pod that is on a node: what the scheduler said of it before is over.
func saidOnNode(said []kubeEvent) []kubeEvent {
	return slices.DeleteFunc(slices.Clone(said), func(e kubeEvent) bool { return e.reason == "FailedScheduling" })
}

func (e *kubeEvent) saysWhy() bool { return !strings.HasPrefix(e.message, givesNoCause) }

// eventReader reads events. The operator doesn't watch them, because a cluster has very many and few concern it: it asks
// for those of one object when it needs to know why that doesn't go on, and remembers the answer for a while.
type eventReader struct {
	reader client.Reader

	mu sync.Mutex
	// known is what was said of objects, until when that will do.
	known map[types.UID]answer
}

type answer struct {
	events []kubeEvent
	until  time.Time
}

func newEventReader(reader client.Reader) *eventReader {
	return &eventReader{reader: reader, known: map[types.UID]answer{}}
}

// question is an object of which the events are wanted, and how old the answer may be.
type question struct {
	uid   types.UID
	pause time.Duration
}

// answers are the events of type Warning about each object that is asked for.
func (r *eventReader) answers(
	ctx context.Context, namespace string, questions []question, now time.Time,
) (map[types.UID][]kubeEvent, error) {
	said := make(map[types.UID][]kubeEvent, len(questions))
	for _, q := range questions {
		events, known := r.recall(q.uid, now)
		if !known {
			var err error
			if events, err = r.read(ctx, namespace, q.uid); err != nil {
				return said, err
			}
			r.remember(q.uid, answer{events, now.Add(q.pause)}, now)
		}
		said[q.uid] = events
	}
	return said, nil
}

func (r *eventReader) recall(uid types.UID, now time.Time) ([]kubeEvent, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.known[uid]
	return known.events, ok && now.Before(known.until)
}

// remember also forgets what nobody has asked for in a long time.
func (r *eventReader) remember(uid types.UID, heard answer, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for uid, old := range r.known {
		if now.Sub(old.until) > maxPause {
			delete(r.known, uid)
		}
	}
	r.known[uid] = heard
}

func (r *eventReader) read(ctx context.Context, namespace string, uid types.UID) ([]kubeEvent, error) {
	var list corev1.EventList
	// The field's name in both APIs of events, from
	// https://github.com/kubernetes/kubernetes/blob/v1.37.0/pkg/registry/core/event/strategy.go.
	err := r.reader.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{
		"involvedObject.uid": string(uid), "type": corev1.EventTypeWarning,
	})
	if err != nil {
		return nil, fmt.Errorf("list the events about %s in %s: %w", uid, namespace, err)
	}
	said := make([]kubeEvent, 0, len(list.Items))
	for i := range list.Items {
		e := &list.Items[i]
		said = append(said, kubeEvent{reason: e.Reason, message: oneLine(e.Message), at: eventTime(e)})
	}
	return said, nil
}

// eventTime is when an event was last seen: old and new ways of recording fill in different fields.
func eventTime(e *corev1.Event) time.Time {
	at := latest(e.LastTimestamp.Time, e.EventTime.Time)
	if e.Series != nil {
		at = latest(at, e.Series.LastObservedTime.Time)
	}
	return latest(at, e.CreationTimestamp.Time)
}

// questionsOf are the objects whose events say why runs don't go on, as far as their own status doesn't.
func questionsOf(runs []activeRun, grace time.Duration, now time.Time) []question {
	var all []question
	for i := range runs {
		since, idle := runs[i].idleSince()
		waited := now.Sub(since)
		if !idle || waited < grace {
			continue
		}
		pause := pauseAfter(waited, grace)
		switch pod := runs[i].pod(); {
		case pod == nil:
			all = append(all, question{runs[i].job.UID, pause})
		case pod.DeletionTimestamp == nil && notStartedByStatus(pod) == nil:
			all = append(all, question{pod.UID, pause})
		}
	}
	return all
}

// listen takes over what Kubernetes says of what doesn't go on. Without an answer the status tells what is known besides.
func (r *BackupPolicyReconciler) listen(
	ctx context.Context, policy *backupv1alpha1.BackupPolicy, state readiness, seen *observation, now time.Time,
) {
	runs := activeRuns(seen.jobs, seen.pods)
	questions := questionsOf(runs, seen.grace, now)
	view := seen.view(&policy.Status, state)
	if _, missed := view.judge(now); !missed.IsZero() && len(runs) == 0 {
		questions = append(questions, question{seen.cronJob.uid, seen.grace})
	}
	if len(questions) == 0 {
		return
	}
	var err error
	if seen.said, err = r.events.answers(ctx, policy.Namespace, questions, now); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not ask why runs don't go on")
		if words := apiMessage(err); lacksPermission(words) {
			seen.deaf = words
		}
	}
}
