// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// MetricFamily describes one metric of policies, a gauge.
type MetricFamily struct {
	// Name is the metric's name.
	Name string
	// Help says in one sentence what the metric is.
	Help string
	// Labels are the names of its labels besides namespace and policy.
	Labels []string
	// read appends the family's samples of one policy; none when the policy has no such figure.
	read func(samples []sample, policy *measuredPolicy) []sample
}

// maxLabels is the most labels that a family has besides namespace and policy.
const maxLabels = 3

// sample is one value, and the values of its family's labels.
type sample struct {
	labels [maxLabels]string
	value  float64
}

// MetricFamilies are the metrics of each policy, in the order in which they are written.
func MetricFamilies() []MetricFamily {
	var all []MetricFamily
	for _, group := range [][]MetricFamily{settingsFamilies, scheduleFamilies, stateFamilies, lastRunFamilies, spaceFamilies} {
		all = append(all, group...)
	}
	return all
}

var settingsFamilies = []MetricFamily{
	{"backup_policy_info", "The policy's settings in its labels; always 1.",
		[]string{"schedule", "time_zone", "file_backup_mode"}, readInfo},
	plain("backup_policy_created_timestamp_seconds", "When the policy was made.",
		func(p *measuredPolicy) (float64, bool) { return timestamp(&p.CreationTimestamp) }),
	plain("backup_policy_backups_wanted", "How many backups are kept: totalBackups.",
		func(p *measuredPolicy) (float64, bool) { return float64(p.Spec.TotalBackups), true }),
}

var scheduleFamilies = []MetricFamily{
	plain("backup_policy_scheduled", "1 if the schedule starts runs, 0 if they are suspended, disabled or not in force.",
		func(p *measuredPolicy) (float64, bool) {
			if p.Status.NextScheduleTime != nil {
				return 1, true
			}
			return 0, true
		}),
	plain("backup_policy_schedule_interval_seconds", "Time between the next run and the one after it.",
		func(p *measuredPolicy) (float64, bool) { return p.interval.Seconds(), p.interval > 0 }),
	plain("backup_policy_next_schedule_timestamp_seconds", "When the schedule starts the next run.",
		func(p *measuredPolicy) (float64, bool) { return timestamp(p.Status.NextScheduleTime) }),
	plain("backup_policy_last_schedule_timestamp_seconds", "When the schedule last started a run.",
		func(p *measuredPolicy) (float64, bool) { return timestamp(p.Status.LastScheduleTime) }),
	plain("backup_policy_last_missed_timestamp_seconds",
		"When the schedule last should have started a run and none started.",
		func(p *measuredPolicy) (float64, bool) { return timestamp(p.Status.LastMissedTime) }),
	plain("backup_policy_backup_due_timestamp_seconds",
		"When the second run after the last complete backup is due: past that, backups are being missed.",
		func(p *measuredPolicy) (float64, bool) { return float64(p.due.Unix()), !p.due.IsZero() }),
	plain("backup_policy_active_runs", "How many runs go on, or wait to start, now.",
		func(p *measuredPolicy) (float64, bool) { return float64(len(p.Status.ActiveJobs)), true }),
}

var stateFamilies = []MetricFamily{
	{"backup_policy_condition",
		"The policy's conditions; always 1. Ready is Unknown until the operator has seen the present settings.",
		[]string{"type", "status", "reason"}, readConditions},
	plain("backup_policy_last_success_timestamp_seconds", "When the last complete backup was done.",
		func(p *measuredPolicy) (float64, bool) { return timestamp(p.Status.LastSuccessTime) }),
	plain("backup_policy_consecutive_failures", "How many runs in a row, up to the last one, did not succeed.",
		func(p *measuredPolicy) (float64, bool) {
			return float64(ptr.Deref(p.Status.ConsecutiveFailures, 0)), true
		}),
	plain("backup_policy_last_sync_timestamp_seconds", "When rsyncDirectory last held all that it should.",
		func(p *measuredPolicy) (float64, bool) { return timestamp(p.Status.LastSyncTime) }),
	plain("backup_policy_sync_lag_seconds",
		"By how much the newest backup is newer than what rsyncDirectory holds; 0 when it holds that one.",
		func(p *measuredPolicy) (float64, bool) {
			lag, ok := syncLag(p.BackupPolicy)
			return lag.Seconds(), ok
		}),
}

var lastRunFamilies = []MetricFamily{
	{"backup_policy_last_run_outcome",
		"How the last run ended: outcome is Succeeded, Incomplete or Failed; always 1.",
		[]string{"outcome", "reason"}, readOutcome},
	ofLastRun("backup_policy_last_run_timestamp_seconds", "When the last run ended.",
		func(r *backupv1alpha1.Run) (float64, bool) { return timestamp(r.CompletionTime) }),
	ofLastRun("backup_policy_last_run_duration_seconds", "How long the last run took.",
		func(r *backupv1alpha1.Run) (float64, bool) {
			return ptr.Deref(r.Duration, metav1.Duration{}).Seconds(), r.Duration != nil
		}),
	ofLastRun("backup_policy_last_run_read_bytes", "Size of the files in the last run's archive.",
		func(r *backupv1alpha1.Run) (float64, bool) { return number(r.BytesRead) }),
	ofLastRun("backup_policy_last_run_written_bytes", "Size of the last run's archive.",
		func(r *backupv1alpha1.Run) (float64, bool) { return number(r.BytesWritten) }),
	ofLastRun("backup_policy_last_run_new_bytes",
		"How much of the last run's archive was made from the volumes; the rest is from the archive before.",
		func(r *backupv1alpha1.Run) (float64, bool) { return number(r.BytesNew) }),
	ofLastRun("backup_policy_last_run_sent_bytes", "How much rsync transferred in the last run.",
		func(r *backupv1alpha1.Run) (float64, bool) { return number(r.BytesSent) }),
	ofLastRun("backup_policy_last_run_files", "How many regular files are in the last run's archive.",
		func(r *backupv1alpha1.Run) (float64, bool) { return number(r.Files) }),
	ofLastRun("backup_policy_last_run_warnings",
		"How many files changed, vanished or could not be read in the last run, and what else it warned of.",
		func(r *backupv1alpha1.Run) (float64, bool) { return number(r.Warnings) }),
}

var spaceFamilies = []MetricFamily{
	ofBackups("backup_policy_backups", "How many backups backupDirectory holds.",
		func(b *backupv1alpha1.RetainedBackups) (float64, bool) { return number(b.Count) }),
	ofBackups("backup_policy_backups_bytes",
		"Size of these backups together; where they share blocks of the disk, they take less.",
		func(b *backupv1alpha1.RetainedBackups) (float64, bool) { return number(b.Bytes) }),
	ofBackups("backup_policy_storage_free_bytes", "Space that was left after the last run where the backups are kept.",
		func(b *backupv1alpha1.RetainedBackups) (float64, bool) { return number(b.FreeBytes) }),
	ofBackups("backup_policy_storage_size_bytes", "Size of the file system where the backups are kept.",
		func(b *backupv1alpha1.RetainedBackups) (float64, bool) { return number(b.TotalBytes) }),
	plain("backup_policy_next_backup_expected_bytes",
		"Space that the next backup will take if it is like the last one.",
		func(p *measuredPolicy) (float64, bool) {
			bytes, ok := expectedBytes(cmp.Or(p.Status.LastReportedRun, p.Status.LastRun))
			return float64(bytes), ok
		}),
}

// plain is a family of one value for each policy, if it has one.
func plain(name, help string, value func(*measuredPolicy) (float64, bool)) MetricFamily {
	return MetricFamily{Name: name, Help: help, read: func(samples []sample, policy *measuredPolicy) []sample {
		if v, ok := value(policy); ok {
			samples = append(samples, sample{value: v})
		}
		return samples
	}}
}

func ofLastRun(name, help string, value func(*backupv1alpha1.Run) (float64, bool)) MetricFamily {
	return plain(name, help, func(p *measuredPolicy) (float64, bool) {
		if p.Status.LastRun == nil {
			return 0, false
		}
		return value(p.Status.LastRun)
	})
}

func ofBackups(name, help string, value func(*backupv1alpha1.RetainedBackups) (float64, bool)) MetricFamily {
	return plain(name, help, func(p *measuredPolicy) (float64, bool) {
		if p.Status.Backups == nil {
			return 0, false
		}
		return value(p.Status.Backups)
	})
}

func readInfo(samples []sample, policy *measuredPolicy) []sample {
	return append(samples, sample{value: 1, labels: [maxLabels]string{
		policy.Status.Schedule, policy.Spec.TimeZone, string(policy.Spec.FileBackupMode),
	}})
}

func readConditions(samples []sample, policy *measuredPolicy) []sample {
	add := func(c *metav1.Condition) {
		samples = append(samples, sample{value: 1, labels: [maxLabels]string{c.Type, string(c.Status), c.Reason}})
	}
	ready := readyNow(policy.BackupPolicy)
	add(&ready)
	for i := range policy.Status.Conditions {
		if c := &policy.Status.Conditions[i]; c.Type != backupv1alpha1.ConditionReady {
			add(c)
		}
	}
	return samples
}

func readOutcome(samples []sample, policy *measuredPolicy) []sample {
	if last := policy.Status.LastRun; last != nil {
		samples = append(samples, sample{value: 1, labels: [maxLabels]string{string(last.Outcome), last.Reason}})
	}
	return samples
}

func timestamp(t *metav1.Time) (float64, bool) {
	if t.IsZero() {
		return 0, false
	}
	return float64(t.Unix()), true
}

func number[T int32 | int64](n *T) (float64, bool) {
	if n == nil {
		return 0, false
	}
	return float64(*n), true
}
