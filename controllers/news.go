// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// Actions of events, which say what was being done.
const (
	actionReconcile = "Reconcile"
	actionBackup    = "Backup"
)

// maxEventNote is the longest note that the API takes in an event, from corev1.Event.
const maxEventNote = 1024

// news is something that a person would want to be told.
type news struct {
	eventType, reason, action, message string
	// key is the same each time that this very news is told, and another one for any other news of the policy. That way
	// it is told once even when the operator dies in between.
	key string
}

// newsBetween is what changed between two statuses that is worth an event: each thing once, when it happens.
func newsBetween(before, after *backupv1alpha1.BackupPolicyStatus) []news {
	var all []news
	if n := readinessNews(before.Conditions, after.Conditions); n != nil {
		all = append(all, *n)
	}
	if n := runNowNews(before, after); n != nil {
		all = append(all, *n)
	}
	if n := runNews(before.LastRun, after.LastRun); n != nil {
		all = append(all, *n)
	}
	if n := delayNews(knownDelay(before), knownDelay(after)); n != nil {
		all = append(all, *n)
	}
	all = append(all, findingsNews(before.LastRun, after.LastRun)...)
	all = append(all, leftBehind(before, after)...)
	for i := range all {
		all[i].message = cut(all[i].message, maxEventNote)
	}
	return all
}

// readinessNews is that Ready has another status or reason, or that new settings changed its message. Within a generation
// the message alone is no transition: it may quote others, whose words differ each time, with the id of a request in them
// for example.
func readinessNews(before, after []metav1.Condition) *news {
	was := meta.FindStatusCondition(before, backupv1alpha1.ConditionReady)
	is := meta.FindStatusCondition(after, backupv1alpha1.ConditionReady)
	if is == nil || was != nil && was.Status == is.Status && was.Reason == is.Reason &&
		(was.ObservedGeneration == is.ObservedGeneration || was.Message == is.Message) {
		return nil
	}
	if is.Reason == backupv1alpha1.ReasonNamespaceTerminating {
		return nil // Events can't be created there either.
	}
	eventType := corev1.EventTypeNormal
	if is.Status != metav1.ConditionTrue && is.Reason != backupv1alpha1.ReasonProgressing {
		eventType = corev1.EventTypeWarning
	}
	return &news{eventType, is.Reason, actionReconcile, is.Message, readinessKey(was, is)}
}

// readinessKey is made of what Ready was and what it is, each of such a generation, because the same may happen again:
// backups are suspended, resumed and suspended once more. No message is in it.
func readinessKey(was, is *metav1.Condition) string {
	key := fmt.Sprintf("Ready %d %s %s", is.ObservedGeneration, is.Status, is.Reason)
	if was != nil {
		key += fmt.Sprintf(" after %d %d %s %s", was.ObservedGeneration, was.LastTransitionTime.Unix(), was.Status, was.Reason)
	}
	return key
}

func runNews(before, after *backupv1alpha1.Run) *news {
	if after == nil || before != nil && before.JobUID == after.JobUID && before.Outcome == after.Outcome &&
		before.Archive == after.Archive {
		return nil
	}
	key := fmt.Sprintf("run %s %s %s", after.JobUID, after.Outcome, after.Archive)
	if after.Outcome == backupv1alpha1.OutcomeSucceeded {
		return &news{corev1.EventTypeNormal, "BackupSucceeded", actionBackup,
			fmt.Sprintf("%s: %s", after.Job, after.Message), key}
	}
	return &news{corev1.EventTypeWarning, after.Reason, actionBackup,
		fmt.Sprintf("%s: backup %s: %s", after.Job, outcomeWord(after.Outcome), after.Message), key}
}

// delayNews is that a run is delayed: once for each run and reason, however the words change.
func delayNews(before, after *delay) *news {
	if after == nil || before != nil && before.subject == after.subject && before.reason == after.reason {
		return nil
	}
	key := "delay " + after.subject + " " + after.reason
	if after.subject == subjectSchedule {
		// The message begins with the time that was missed.
		missed, _, _ := strings.Cut(after.message, delaySeparator)
		key += " " + missed
	}
	return &news{corev1.EventTypeWarning, after.reason, actionBackup, after.subject + delaySeparator + after.message, key}
}

// findingsNews are what the last run found beside its own backup.
func findingsNews(before, after *backupv1alpha1.Run) []news {
	if after == nil || before != nil && before.JobUID == after.JobUID && len(before.Findings) == len(after.Findings) {
		return nil
	}
	var all []news
	for i, f := range after.Findings {
		if f.Reason == backupv1alpha1.ReasonBackupsLeftBehind && before != nil && slices.Contains(before.Findings, f) {
			continue // The run before found the same, and nothing is urgent about it.
		}
		all = append(all, news{corev1.EventTypeWarning, f.Reason, actionBackup, after.Job + ": " + f.Message,
			fmt.Sprintf("finding %s %d %s", after.JobUID, i, f.Reason)})
	}
	return all
}

func outcomeWord(outcome backupv1alpha1.Outcome) string {
	if outcome == backupv1alpha1.OutcomeIncomplete {
		return "incomplete"
	}
	return "failed"
}

// cut keeps a text within what the API takes, and shows that it did.
func cut(text string, limit int) string {
	const ellipsis = "…"
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(ellipsis)], "") + ellipsis
}
