// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

const minutes = time.Minute

// scenarios are what happens to a policy that runs each hour, and to the operator. Each begins with all well.
var scenarios = []scenario{
	{
		name: "runs succeed",
		phases: []phase{{hour, hourly()}, {2 * hours, hourly(nextRun(hour))}, {3 * hours, hourly(nextRun(2 * hours))},
			{4 * hours, hourly(nextRun(3 * hours))}},
	}, {
		name:   "no run starts",
		phases: []phase{{hour, hourly()}, {5 * hours, hourly(missed(hour))}, {6 * hours, hourly(nextRun(5 * hours))}},
		quiet:  2*hours + 59*minutes, fires: 3*hours + 2*minutes, clears: 5 * hours,
		says: map[string]string{"BackupMissed": "The schedule has started, or should have started, two runs since the last complete backup of the " +
			"policy orbit/appliance, and the second was due 1h 2m 0s ago."},
	}, {
		name: "runs hang for ever",
		phases: []phase{{hour, hourly()}, {5 * hours, hourly(func(s *status) {
			s.LastScheduleTime, s.NextScheduleTime, s.ActiveJobs = moment(hour), moment(2*hours), []string{"hangs"}
		})}, {6 * hours, hourly(nextRun(5 * hours))}},
		quiet: 2*hours + 59*minutes, fires: 3*hours + 2*minutes, clears: 5 * hours,
		says: map[string]string{"BackupMissed": "The schedule has started, or should have started, two runs since the last complete backup of the " +
			"policy orbit/appliance, and the second was due 1h 2m 0s ago."},
	}, {
		name:   "suspended for hours, then resumed",
		phases: []phase{{hour, hourly()}, {8 * hours, hourly(suspended)}, {9 * hours, hourly(missed(8*hours), resumedAt(9*hours))}},
	}, {
		name: "a run fails",
		phases: []phase{{hour, hourly()}, {2 * hours, hourly(nextRun(hour), ended(backupv1alpha1.OutcomeFailed, "SourceMissing"))},
			{3 * hours, hourly(nextRun(2 * hours))}},
		quiet: hour + 4*minutes, fires: hour + 6*minutes, clears: 2 * hours,
		says: map[string]string{"BackupFailing": "The last run of the policy orbit/appliance failed (SourceMissing). Nothing has been deleted in its place."},
	}, {
		name: "a run is incomplete",
		phases: []phase{{hour, hourly()},
			{2 * hours, hourly(nextRun(hour), ended(backupv1alpha1.OutcomeIncomplete, "FilesUnreadable"))},
			{3 * hours, hourly(nextRun(2 * hours))}},
		quiet: hour + 4*minutes, fires: hour + 6*minutes, clears: 2 * hours,
		says: map[string]string{"BackupIncomplete": "The last run of the policy orbit/appliance made an archive that lacks something (FilesUnreadable). " +
			"The earlier complete backups are kept."},
	}, {
		name: "a backup is unusual, and the next one is not",
		phases: []phase{{hour, hourly()}, {2 * hours, hourly(nextRun(hour),
			condition(backupv1alpha1.ConditionUnusual, metav1.ConditionTrue, backupv1alpha1.ReasonSourceShrank))},
			{3 * hours, hourly(nextRun(2 * hours))}},
		quiet: hour + 4*minutes, fires: hour + 6*minutes, clears: 2 * hours,
		says: map[string]string{"BackupUnusual": "The last backup of the policy orbit/appliance is unusual (SourceShrank): it lacks what a volume " +
			"that is not mounted would lack."},
	}, {
		name: "the synchronization fails",
		phases: []phase{{hour, hourly()}, {2 * hours, hourly(nextRun(hour),
			condition(backupv1alpha1.ConditionSynchronized, metav1.ConditionFalse, "SyncFailed"))},
			{3 * hours, hourly(nextRun(2 * hours))}},
		quiet: hour + 4*minutes, fires: hour + 6*minutes, clears: 2 * hours,
		says: map[string]string{"BackupMirrorStale": "rsyncDirectory of the policy orbit/appliance lacks backups that backupDirectory holds: the last " +
			"synchronization did not succeed."},
	}, {
		name: "a run makes an archive and dies before it is synchronized",
		phases: []phase{{hour, hourly()},
			{2 * hours, hourly(nextRun(hour), func(s *status) { s.LastSyncTime = moment(five) })},
			{3 * hours, hourly(nextRun(2 * hours))}},
		quiet: hour + 4*minutes, fires: hour + 6*minutes, clears: 2 * hours,
		says: map[string]string{"BackupMirrorStale": "rsyncDirectory of the policy orbit/appliance lacks backups that backupDirectory holds: the last " +
			"synchronization did not succeed."},
	}, {
		name: "less is free than the last backup took",
		phases: []phase{{hour, hourly()},
			{2 * hours, hourly(nextRun(hour), func(s *status) { s.Backups.FreeBytes = ptr.To[int64](2 << 30) })},
			{3 * hours, hourly(nextRun(2 * hours))}},
		quiet: hour + 4*minutes, fires: hour + 6*minutes, clears: 2 * hours,
		says: map[string]string{"BackupStorageTooSmall": "Where the policy orbit/appliance keeps its backups, 2GiB are free, and the next backup will take " +
			"about 3GiB."},
	}, {
		name: "a run has not enough space",
		phases: []phase{{hour, hourly()}, {2 * hours, hourly(nextRun(hour), ended(backupv1alpha1.OutcomeFailed, "NotEnoughSpace"))},
			{3 * hours, hourly(nextRun(2 * hours))}},
		quiet: hour + 4*minutes, fires: hour + 6*minutes, clears: 2 * hours,
		says: map[string]string{
			"BackupStorageTooSmall": "Where the policy orbit/appliance keeps its backups, 8GiB are free.",
			"BackupFailing": "The last run of the policy orbit/appliance failed (NotEnoughSpace). Nothing has been deleted in " +
				"its place.",
		},
	}, {
		name: "a run can't start",
		phases: []phase{{hour, hourly()}, {2 * hours, hourly(
			condition(backupv1alpha1.ConditionDelayed, metav1.ConditionTrue, backupv1alpha1.ReasonVolumeNotMounted))},
			{3 * hours, hourly(nextRun(2 * hours))}},
		quiet: hour + 9*minutes, fires: hour + 11*minutes, clears: 2 * hours,
		says: map[string]string{"BackupDelayed": "A run of the policy orbit/appliance does not start or does not go on (VolumeNotMounted)."},
	}, {
		name: "settings are wrong, and runs go on by those of before",
		phases: []phase{{hour, hourly()}, {2 * hours, hourly(nextRun(hour),
			condition(backupv1alpha1.ConditionReady, metav1.ConditionFalse, backupv1alpha1.ReasonInvalidTimeZone))},
			{3 * hours, hourly(nextRun(2 * hours))}},
		quiet: hour + 14*minutes, fires: hour + 16*minutes, clears: 2 * hours,
		says: map[string]string{"BackupPolicyNotReady": "The settings of the policy orbit/appliance are not in force (InvalidTimeZone)."},
	}, {
		name: "a policy that nobody looks at",
		phases: []phase{{hour, served()}, {2 * hours, hourly(func(s *status) { *s = status{} })},
			{3 * hours, hourly(nextRun(2 * hours))}},
		quiet: hour + 14*minutes, fires: hour + 16*minutes, clears: 2 * hours,
		says: map[string]string{"BackupPolicyNotReady": "The settings of the policy orbit/appliance are not in force (NotObserved)."},
	}, {
		name: "a run fails, and then both backups are disabled",
		phases: []phase{{hour, hourly()}, {2 * hours, hourly(nextRun(hour), failedInEveryWay)},
			{3 * hours, hourly(nextRun(hour), failedInEveryWay, disabled)}},
		quiet: hour + 4*minutes, fires: hour + 6*minutes, clears: 2 * hours,
		says: map[string]string{
			"BackupFailing": "The last run of the policy orbit/appliance failed (NotEnoughSpace). Nothing has been deleted in " +
				"its place.",
			"BackupStorageTooSmall": "Where the policy orbit/appliance keeps its backups, 8GiB are free.",
			"BackupMirrorStale": "rsyncDirectory of the policy orbit/appliance lacks backups that backupDirectory holds: the last " +
				"synchronization did not succeed.",
		},
	}, {
		name: "a run is incomplete, and then both backups are disabled",
		phases: []phase{{hour, hourly()},
			{2 * hours, hourly(nextRun(hour), ended(backupv1alpha1.OutcomeIncomplete, "FilesUnreadable"))},
			{3 * hours, hourly(nextRun(hour), ended(backupv1alpha1.OutcomeIncomplete, "FilesUnreadable"), disabled)}},
		quiet: hour + 4*minutes, fires: hour + 6*minutes, clears: 2 * hours,
		says: map[string]string{"BackupIncomplete": "The last run of the policy orbit/appliance made an archive that lacks something (FilesUnreadable). " +
			"The earlier complete backups are kept."},
	}, {
		name: "the first run of a new policy takes long",
		phases: []phase{{hour, served()}, {2 * hours, hourly(isNew)}, {3*hours + 50*minutes, hourly(isNew, func(s *status) {
			s.LastScheduleTime, s.NextScheduleTime, s.ActiveJobs = moment(2*hours), moment(3*hours), []string{"works"}
		})}, {5 * hours, hourly(nextRun(3 * hours))}},
	}, {
		name:   "the operator is down",
		phases: []phase{{hour, hourly()}, {2 * hours, ""}, {3 * hours, hourly(nextRun(2 * hours))}},
		quiet:  hour + 9*minutes, fires: hour + 11*minutes, clears: 2 * hours,
		says: map[string]string{"BackupOperatorDown": "No backup operator is scraped. Backups go on by their schedules, but nobody learns how they fare, " +
			"and changed settings do not come into force."},
	}, {
		name:   "the operator restarts, and tells at first what it knew before",
		phases: []phase{{hour, hourly()}, {hour + 5*minutes, ""}, {hour + 8*minutes, hourly()}, {2 * hours, hourly(nextRun(hour))}},
	}, {
		name:   "nobody leads",
		phases: []phase{{hour, leading("1")}, {2 * hours, leading("0")}, {3 * hours, leading("1")}},
		quiet:  hour + 9*minutes, fires: hour + 11*minutes, clears: 2 * hours,
		says: map[string]string{"BackupOperatorWithoutLeader": "All replicas of the backup operator stand by and none leads. Backups go on by their schedules, but " +
			"nobody learns how they fare, and changed settings do not come into force."},
	}, {
		name:   "a watch fails",
		phases: append(blindUntil(30), phase{hour, blind(0)}),
		quiet:  7 * minutes, fires: 9 * minutes, clears: 31 * minutes,
		says: map[string]string{"BackupOperatorWatchFailing": "The backup operator has been unable to watch what it needs for 9m 0s. Backups run by " +
			"their schedules, but the status and the metrics of policies are out of date, and changed settings do not take effect."},
	}, {
		name:   "a watch fails for a moment",
		phases: append(blindUntil(4), phase{hour, blind(0)}),
	}, {
		name:   "the API refuses something now and again",
		phases: append(erringUntil(2*hours), phase{3 * hours, erring(120)}),
		quiet:  38 * minutes, fires: 45 * minutes, clears: 2*hours + 16*minutes,
		says: map[string]string{"BackupOperatorErrors": "The backup operator has met errors for half an hour, about 2 in the last quarter: " +
			"the Kubernetes API refuses or fails what it asks."},
	}, {
		name:   "the API refuses something once",
		phases: []phase{{hour, erring(0)}, {3 * hours, erring(1)}},
	},
}

// blindUntil has a watch fail from the beginning on.
func blindUntil(end int) []phase {
	var phases []phase
	for minute := range end {
		phases = append(phases, phase{time.Duration(minute+1) * minutes, blind(minute)})
	}
	return phases
}

// erringUntil has one error more each ten minutes.
func erringUntil(end time.Duration) []phase {
	const pause = 10 * minutes
	var phases []phase
	for at := pause; at <= end; at += pause {
		phases = append(phases, phase{at, erring(int(at / pause))})
	}
	return phases
}

// resumedAt is the status right after the suspension ended: the hours between are nobody's loss.
func resumedAt(next time.Duration) func(*status) {
	return func(s *status) { s.LastMissedTime, s.NextScheduleTime = nil, moment(next) }
}

// failedInEveryWay is the status after a run that had not enough space, here and in the mirror.
func failedInEveryWay(s *status) {
	ended(backupv1alpha1.OutcomeFailed, "NotEnoughSpace")(s)
	condition(backupv1alpha1.ConditionSynchronized, metav1.ConditionFalse, "SyncFailed")(s)
}

// isNew is the status of a policy that has had no run, an hour before its first.
func isNew(s *status) {
	*s = status{Conditions: s.Conditions[:1], Schedule: s.Schedule, NextScheduleTime: moment(2 * hours)}
}
