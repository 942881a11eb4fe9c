// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/controllers"
)

type status = backupv1alpha1.BackupPolicyStatus

// scenario is a history, and what alerts it is told by.
type scenario struct {
	name string
	// phases are what is served, one after the other.
	phases []phase
	// says is what the alerts that fire say, by their names; empty for none.
	says map[string]string
	// quiet is when they don't fire yet, fires when they do, and clears when they have ended.
	quiet, fires, clears time.Duration
}

// Times since the start of a history, which is midnight.
const (
	five  = 5 * time.Minute
	hour  = time.Hour
	hours = time.Hour
)

// moment is a time of a history as a status has it.
func moment(t time.Duration) *metav1.Time {
	return &metav1.Time{Time: time.Unix(int64(t/time.Second), 0).UTC()}
}

// hourly is a policy that runs each hour, right after its first run, changed by mutate.
func hourly(mutate ...func(*status)) string {
	policy := &backupv1alpha1.BackupPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "orbit", Name: "appliance", CreationTimestamp: *moment(-hour)},
		Spec: backupv1alpha1.BackupPolicySpec{
			FileBackupMode: backupv1alpha1.FileBackupModeRSYNC, RsyncDirectory: "/mirror", TotalBackups: 7,
		},
		Status: status{
			Conditions: []metav1.Condition{
				{Type: backupv1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: backupv1alpha1.ReasonScheduled},
				{Type: backupv1alpha1.ConditionSynchronized, Status: metav1.ConditionTrue, Reason: backupv1alpha1.ReasonSucceeded},
			},
			Schedule: "0 * * * *", LastScheduleTime: moment(0), NextScheduleTime: moment(hour),
			LastSuccessTime: moment(five), LastSyncTime: moment(five), ConsecutiveFailures: ptr.To[int32](0),
			LastRun: &backupv1alpha1.Run{
				Outcome: backupv1alpha1.OutcomeSucceeded, CompletionTime: moment(five), Files: ptr.To[int64](9),
				Duration: &metav1.Duration{Duration: five}, BytesWritten: ptr.To[int64](4 << 30), BytesShared: ptr.To[int64](1 << 30),
			},
			Backups: &backupv1alpha1.RetainedBackups{
				Count: ptr.To[int32](1), Bytes: ptr.To[int64](4 << 30),
				FreeBytes: ptr.To[int64](8 << 30), TotalBytes: ptr.To[int64](16 << 30),
				Newest: []backupv1alpha1.RetainedBackup{{Name: "appliance-19700101T000000Z.tar.zst"}},
			},
		},
	}
	for _, change := range mutate {
		change(&policy.Status)
	}
	return served(policy)
}

// served is what the operator's own code says of policies.
func served(policies ...*backupv1alpha1.BackupPolicy) string {
	var out bytes.Buffer
	if err := controllers.WriteMetrics(&out, "v1", policies...); err != nil {
		panic(err) // A buffer takes everything.
	}
	return out.String()
}

// leading is what client-go serves of the election.
func leading(value string) string {
	return served() + "# TYPE leader_election_master_status gauge\n" +
		`leader_election_master_status{name="backup-operator.backup.appliance.io"} ` + value + "\n"
}

// blind is what the operator serves of its watches, in minutes for which one of them has failed.
func blind(minutes int) string {
	return served() + "# TYPE backup_operator_watch_failing_seconds gauge\n" +
		fmt.Sprintf("backup_operator_watch_failing_seconds{kind=%q} %d\n", "BackupPolicy", 60*minutes) +
		fmt.Sprintf("backup_operator_watch_failing_seconds{kind=%q} 0\n", "Job")
}

// erring is what controller-runtime serves of errors.
func erring(count int) string {
	return served() + "# TYPE controller_runtime_reconcile_errors_total counter\n" +
		fmt.Sprintf("controller_runtime_reconcile_errors_total{controller=%q} %d\n", "backuppolicy", count)
}

// At later times of the history.

// nextRun is the status after the run of a later hour succeeded.
func nextRun(at time.Duration) func(*status) {
	return func(s *status) {
		s.LastScheduleTime, s.NextScheduleTime = moment(at), moment(at+hour)
		s.LastSuccessTime, s.LastSyncTime, s.LastRun.CompletionTime = moment(at+five), moment(at+five), moment(at+five)
		s.Backups.Newest[0].Name = "appliance-" + moment(at).Format("20060102T150405Z") + ".tar.zst"
	}
}

func ended(outcome backupv1alpha1.Outcome, reason string) func(*status) {
	return func(s *status) {
		s.LastRun = &backupv1alpha1.Run{Outcome: outcome, Reason: reason, CompletionTime: s.LastRun.CompletionTime}
		s.LastSuccessTime, s.ConsecutiveFailures = moment(five), ptr.To[int32](1)
	}
}

func condition(kind string, value metav1.ConditionStatus, reason string) func(*status) {
	return func(s *status) {
		s.Conditions = slices.DeleteFunc(s.Conditions, func(c metav1.Condition) bool { return c.Type == kind })
		s.Conditions = append(s.Conditions, metav1.Condition{Type: kind, Status: value, Reason: reason})
	}
}

// missed is the status after no run started in these hours.
func missed(at time.Duration) func(*status) {
	return func(s *status) { s.LastMissedTime, s.NextScheduleTime = moment(at), moment(at+hour) }
}

func suspended(s *status) {
	s.NextScheduleTime = nil
	condition(backupv1alpha1.ConditionReady, metav1.ConditionTrue, backupv1alpha1.ReasonSuspended)(s)
}

func disabled(s *status) {
	s.NextScheduleTime = nil
	condition(backupv1alpha1.ConditionReady, metav1.ConditionTrue, backupv1alpha1.ReasonDisabled)(s)
}

// TestEachAlertFiresAndClears has promtool follow each history and say what fires when. In all of them, no other alert
// fires than the one that is told.
func TestEachAlertFiresAndClears(t *testing.T) {
	rules, spec, err := ReadRules(rulesPath)
	if err != nil {
		t.Fatal(err)
	}
	var tests []promtoolTest
	seen := map[string]bool{}
	for _, s := range scenarios {
		tests = append(tests, s.test(t, rules))
		for alert := range s.says {
			seen[alert] = true
		}
	}
	for _, rule := range rules {
		if !seen[rule.Alert] {
			t.Errorf("no history has %s fire and clear", rule.Alert)
		}
	}
	runPromtool(t, spec, tests)
}

// test is the scenario as promtool takes it.
func (s *scenario) test(t *testing.T, rules []Rule) promtoolTest {
	t.Helper()
	test := promtoolTest{Name: s.name, Interval: scraped.String(), InputSeries: seriesOf(t, s.phases)}
	times := []time.Duration{s.fires, s.clears, s.quiet}
	for _, phase := range s.phases {
		if len(s.says) == 0 || phase.until < s.quiet {
			times = append(times, phase.until-scraped)
		}
	}
	for _, at := range times {
		if at == 0 {
			continue
		}
		for _, rule := range rules {
			expected := []alert{}
			if s.says[rule.Alert] != "" && at == s.fires {
				expected = append(expected, s.expected(&rule))
			}
			test.Alerts = append(test.Alerts, alertsAtTime{at.String(), rule.Alert, expected})
		}
	}
	if len(s.says) > 0 && (s.quiet == 0 || s.fires <= s.quiet || s.clears <= s.fires) {
		t.Errorf("%s: it must be quiet, fire and clear, in this order", s.name)
	}
	return test
}

// expected is the alert with all its texts: the summary is taken from the rule, because that is text with two names.
func (s *scenario) expected(rule *Rule) alert {
	labels := map[string]string{"severity": rule.Labels["severity"]}
	summary := rule.Annotations["summary"]
	if strings.Contains(rule.Expr, "by (namespace, policy)") {
		maps.Copy(labels, map[string]string{"namespace": "orbit", "policy": "appliance"})
		summary = strings.NewReplacer("{{ $labels.namespace }}", "orbit", "{{ $labels.policy }}", "appliance").Replace(summary)
	}
	return alert{Labels: labels, Annotations: map[string]string{
		"summary": summary, "description": s.says[rule.Alert], "runbook": "docs/runbooks/" + rule.Alert + ".md",
	}}
}

func TestEachAlertHasItsRunbook(t *testing.T) {
	rules, _, err := ReadRules(rulesPath)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, rule := range rules {
		page := rule.Alert + ".md"
		want = append(want, page)
		if got := rule.Annotations["runbook"]; got != "docs/runbooks/"+page {
			t.Errorf("runbook of %s is %q, want docs/runbooks/%s", rule.Alert, got, page)
		}
		if !slices.Contains([]string{"critical", "warning"}, rule.Labels["severity"]) {
			t.Errorf("severity of %s is %q, want critical or warning", rule.Alert, rule.Labels["severity"])
		}
		content, err := os.ReadFile("../../docs/runbooks/" + page)
		if err != nil {
			t.Error(err)
		} else if !strings.HasPrefix(string(content), "# "+rule.Alert+"\n") {
			t.Errorf("docs/runbooks/%s doesn't begin with the heading %s", page, rule.Alert)
		}
	}
	pages, err := filepath.Glob("../../docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if !slices.Contains(want, filepath.Base(page)) {
			t.Errorf("%s is for no alert", page)
		}
	}
}
