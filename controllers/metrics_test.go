// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// at is a time of Sunday, 22 November 2026.
func at(clock string) *metav1.Time {
	t, err := time.Parse(time.DateTime, "2026-11-22 "+clock)
	if err != nil {
		panic(err)
	}
	return &metav1.Time{Time: t}
}

// daily is a policy that runs at five each day, the run of today included.
func daily() *backupv1alpha1.BackupPolicy {
	return &backupv1alpha1.BackupPolicy{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "orbit", Name: "appliance", Generation: 2, CreationTimestamp: *at("00:00:00"),
		},
		Spec: backupv1alpha1.BackupPolicySpec{
			TotalBackups: 7, FileBackupMode: backupv1alpha1.FileBackupModeRSYNC, TimeZone: "America/Sao_Paulo",
		},
		Status: backupv1alpha1.BackupPolicyStatus{
			ObservedGeneration: 2,
			Conditions: []metav1.Condition{
				{Type: "Ready", Status: "True", Reason: "Scheduled"},
				{Type: "Synchronized", Status: "False", Reason: "SyncFailed"},
			},
			Schedule:         "0 2 * * *",
			LastScheduleTime: at("05:00:00"), NextScheduleTime: &metav1.Time{Time: at("05:00:00").AddDate(0, 0, 1)},
			LastSuccessTime: at("05:10:00"), LastSyncTime: at("05:10:00"),
			ActiveJobs: []string{"appliance-now"}, ConsecutiveFailures: ptr.To[int32](1),
			LastRun: &backupv1alpha1.Run{
				Outcome: backupv1alpha1.OutcomeFailed, Reason: "SyncFailed", CompletionTime: at("06:10:00"),
				Duration: &metav1.Duration{Duration: 90500 * time.Millisecond}, BytesRead: ptr.To[int64](4000),
				BytesWritten: ptr.To[int64](1000), BytesNew: ptr.To[int64](100), BytesShared: ptr.To[int64](800),
				BytesSent: ptr.To[int64](0), Files: ptr.To[int64](12), Warnings: ptr.To[int64](3),
			},
			Backups: &backupv1alpha1.RetainedBackups{
				Count: ptr.To[int32](2), Bytes: ptr.To[int64](2000), FreeBytes: ptr.To[int64](500), TotalBytes: ptr.To[int64](9000),
				Newest: []backupv1alpha1.RetainedBackup{{Name: "appliance-20261122T061000Z.tar.zst"}},
			},
		},
	}
}

// samplesOf are the lines of the exposition but for comments and the operator's own.
func samplesOf(t *testing.T, policies ...*backupv1alpha1.BackupPolicy) []string {
	t.Helper()
	var out bytes.Buffer
	if err := WriteMetrics(&out, "v1", policies...); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "backup_policy_") {
			lines = append(lines, strings.TrimSuffix(strings.Replace(line, `namespace="orbit",policy="appliance"`, "", 1), "\n"))
		}
	}
	return lines
}

// value is the value of the policy's only sample of this metric; "" when there is none.
func value(t *testing.T, policy *backupv1alpha1.BackupPolicy, metric string) string {
	t.Helper()
	for _, line := range samplesOf(t, policy) {
		if rest, ok := strings.CutPrefix(line, metric+"{} "); ok {
			return rest
		}
	}
	return ""
}

func TestMetricsTellWhatTheStatusSays(t *testing.T) {
	unix := func(t *metav1.Time) string { return fmt.Sprint(t.Unix()) }
	want := []string{
		`backup_policy_info{,schedule="0 2 * * *",time_zone="America/Sao_Paulo",file_backup_mode="RSYNC"} 1`,
		`backup_policy_created_timestamp_seconds{} ` + unix(at("00:00:00")),
		`backup_policy_backups_wanted{} 7`,
		`backup_policy_scheduled{} 1`,
		`backup_policy_schedule_interval_seconds{} 86400`,
		`backup_policy_next_schedule_timestamp_seconds{} ` + fmt.Sprint(at("05:00:00").Unix()+24*3600),
		`backup_policy_last_schedule_timestamp_seconds{} ` + unix(at("05:00:00")),
		`backup_policy_backup_due_timestamp_seconds{} ` + fmt.Sprint(at("05:00:00").Unix()+2*24*3600),
		`backup_policy_active_runs{} 1`,
		`backup_policy_condition{,type="Ready",status="True",reason="Scheduled"} 1`,
		`backup_policy_condition{,type="Synchronized",status="False",reason="SyncFailed"} 1`,
		`backup_policy_last_success_timestamp_seconds{} ` + unix(at("05:10:00")),
		`backup_policy_consecutive_failures{} 1`,
		`backup_policy_last_sync_timestamp_seconds{} ` + unix(at("05:10:00")),
		`backup_policy_sync_lag_seconds{} 3600`,
		`backup_policy_last_run_outcome{,outcome="Failed",reason="SyncFailed"} 1`,
		`backup_policy_last_run_timestamp_seconds{} ` + unix(at("06:10:00")),
		`backup_policy_last_run_duration_seconds{} 90.5`,
		`backup_policy_last_run_read_bytes{} 4000`,
		`backup_policy_last_run_written_bytes{} 1000`,
		`backup_policy_last_run_new_bytes{} 100`,
		`backup_policy_last_run_sent_bytes{} 0`,
		`backup_policy_last_run_files{} 12`,
		`backup_policy_last_run_warnings{} 3`,
		`backup_policy_backups{} 2`,
		`backup_policy_backups_bytes{} 2000`,
		`backup_policy_storage_free_bytes{} 500`,
		`backup_policy_storage_size_bytes{} 9000`,
		`backup_policy_next_backup_expected_bytes{} 200`,
	}
	if diff := cmp.Diff(want, samplesOf(t, daily())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestMetricsOfANewPolicy(t *testing.T) {
	policy := &backupv1alpha1.BackupPolicy{ObjectMeta: metav1.ObjectMeta{
		Namespace: "orbit", Name: "appliance", CreationTimestamp: *at("00:00:00"), Generation: 1,
	}}
	want := []string{
		`backup_policy_info{,schedule="",time_zone="",file_backup_mode=""} 1`,
		`backup_policy_created_timestamp_seconds{} ` + fmt.Sprint(at("00:00:00").Unix()),
		`backup_policy_backups_wanted{} 0`,
		`backup_policy_scheduled{} 0`,
		`backup_policy_active_runs{} 0`,
		`backup_policy_condition{,type="Ready",status="Unknown",reason="NotObserved"} 1`,
		`backup_policy_consecutive_failures{} 0`,
	}
	if diff := cmp.Diff(want, samplesOf(t, policy)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestReadyOfEarlierSettingsSaysNothing(t *testing.T) {
	policy := daily()
	policy.Generation++
	want := `backup_policy_condition{,type="Ready",status="Unknown",reason="NotObserved"} 1`
	if got := samplesOf(t, policy)[9]; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestWhenABackupIsDue(t *testing.T) {
	day := func(n int, clock string) *metav1.Time { return &metav1.Time{Time: at(clock).AddDate(0, 0, n)} }
	for name, test := range map[string]struct {
		change func(*backupv1alpha1.BackupPolicyStatus)
		want   *metav1.Time
	}{
		"all is well: the run after the next one": {
			func(*backupv1alpha1.BackupPolicyStatus) {}, day(2, "05:00:00")},
		"the next run goes on: the one after it, as before": {
			func(s *backupv1alpha1.BackupPolicyStatus) {
				s.LastScheduleTime, s.NextScheduleTime = day(1, "05:00:00"), day(2, "05:00:00")
			}, day(2, "05:00:00")},
		"runs fail for days: still that one": {
			func(s *backupv1alpha1.BackupPolicyStatus) {
				s.LastScheduleTime, s.NextScheduleTime = day(5, "05:00:00"), day(6, "05:00:00")
			}, day(2, "05:00:00")},
		"no run starts for days: still that one": {
			func(s *backupv1alpha1.BackupPolicyStatus) {
				s.LastMissedTime, s.NextScheduleTime = day(5, "05:00:00"), day(6, "05:00:00")
			}, day(2, "05:00:00")},
		"a run hangs for days: still that one": {
			func(s *backupv1alpha1.BackupPolicyStatus) {
				s.LastScheduleTime, s.NextScheduleTime, s.ConsecutiveFailures = day(1, "05:00:00"), day(6, "05:00:00"), nil
			}, day(2, "05:00:00")},
		"resumed after days of suspension: the run after the next one": {
			func(s *backupv1alpha1.BackupPolicyStatus) { s.NextScheduleTime = day(6, "05:00:00") }, day(7, "05:00:00")},
		"resumed, and the first run goes on: the one after it": {
			func(s *backupv1alpha1.BackupPolicyStatus) {
				s.LastScheduleTime, s.NextScheduleTime, s.ConsecutiveFailures = day(6, "05:00:00"), day(7, "05:00:00"), nil
			}, day(7, "05:00:00")},
		"never a backup: the second run of its life": {
			func(s *backupv1alpha1.BackupPolicyStatus) {
				s.LastSuccessTime, s.LastScheduleTime = nil, day(4, "05:00:00")
			}, day(1, "05:00:00")},
		"suspended: none": {
			func(s *backupv1alpha1.BackupPolicyStatus) { s.NextScheduleTime = nil }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			policy := daily()
			test.change(&policy.Status)
			want := ""
			if test.want != nil {
				want = fmt.Sprint(test.want.Unix())
			}
			if got := value(t, policy, "backup_policy_backup_due_timestamp_seconds"); got != want {
				t.Errorf("due at %s, want %s", got, want)
			}
		})
	}
}

func TestSyncLag(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*backupv1alpha1.BackupPolicy)
		want   string
	}{
		"the mirror lacks the newest backup": {func(*backupv1alpha1.BackupPolicy) {}, "3600"},
		"the mirror holds it": {
			func(p *backupv1alpha1.BackupPolicy) { p.Status.LastSyncTime = at("06:15:00") }, "0"},
		"another mirror, which no run has seen yet": {
			func(p *backupv1alpha1.BackupPolicy) { p.Status.LastSyncTime = nil }, ""},
		"no mirror": {
			func(p *backupv1alpha1.BackupPolicy) { p.Spec.FileBackupMode = backupv1alpha1.FileBackupModeArchive }, ""},
		"no backup":           {func(p *backupv1alpha1.BackupPolicy) { p.Status.Backups.Newest = nil }, ""},
		"a name of no backup": {func(p *backupv1alpha1.BackupPolicy) { p.Status.Backups.Newest[0].Name = "x.tar.zst" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			policy := daily()
			test.change(policy)
			if got := value(t, policy, "backup_policy_sync_lag_seconds"); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestLabelsAreEscaped(t *testing.T) {
	policy := daily()
	policy.Status.LastRun.Reason = "a\"b\\c\nd"
	want := `backup_policy_last_run_outcome{,outcome="Failed",reason="a\"b\\c\nd"} 1`
	if got := strings.Join(samplesOf(t, policy), "|"); !strings.Contains(got, want) {
		t.Errorf("no %s in %s", want, got)
	}
}

// watched are metrics that follow these policies.
func watched(policies ...*backupv1alpha1.BackupPolicy) *Metrics {
	m := NewMetrics("v1")
	m.synced = func() bool { return true }
	for _, policy := range policies {
		m.set(policy)
	}
	return m
}

func TestMetricsFollowThePolicies(t *testing.T) {
	m := watched(daily())
	other := daily()
	other.Name = "other"
	m.set(other)
	changed := daily()
	changed.Status.ConsecutiveFailures = ptr.To[int32](5)
	m.set(changed)
	m.forget(toolscache.DeletedFinalStateUnknown{Key: "orbit/other"})
	got, _ := m.sorted()
	if len(got) != 1 || *got[0].Status.ConsecutiveFailures != 5 {
		t.Errorf("the metrics follow %+v", got)
	}
}

func TestMetricsWaitForAllPolicies(t *testing.T) {
	m := watched(daily())
	m.synced = func() bool { return false }
	answer := httptest.NewRecorder()
	m.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusServiceUnavailable || strings.Contains(answer.Body.String(), "backup_policy_") {
		t.Errorf("answered %d:\n%s", answer.Code, answer.Body)
	}
}

func TestMetricsBesideControllerRuntimesOwn(t *testing.T) {
	plain, compressed := httptest.NewRecorder(), httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	m := watched(daily())
	m.ServeHTTP(plain, request)
	request.Header.Set("Accept-Encoding", "gzip")
	m.ServeHTTP(compressed, request)
	if got := compressed.Header().Get("Content-Encoding"); got != "gzip" {
		t.Fatalf("the content encoding is %q, want gzip", got)
	}
	reader, err := gzip.NewReader(compressed.Body)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{plain.Body.String(), string(unpacked)} {
		for _, want := range []string{
			"go_goroutines ", "backup_operator_info{version=\"v1\"} 1\n",
			"backup_policy_next_backup_expected_bytes{namespace=\"orbit\",policy=\"appliance\"} 200\n",
		} {
			if !strings.Contains(body, want) {
				t.Errorf("no %s in:\n%s", want, body)
			}
		}
	}
}

// TestMetricsAreBehindTheFilter: whoever the filter refuses sees none, and other paths are still the server's.
func TestMetricsAreBehindTheFilter(t *testing.T) {
	filter := func(_ logr.Logger, handler http.Handler) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			handler.ServeHTTP(w, r)
		}), nil
	}
	behind, err := watched(daily()).Behind(
		func(*rest.Config, *http.Client) (metricsserver.Filter, error) { return filter, nil })(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := behind(logr.Discard(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path, authorization string
		want                int
	}{
		{"/metrics", "", http.StatusUnauthorized}, {"/metrics", "Bearer x", http.StatusOK},
		{"/debug", "", http.StatusUnauthorized}, {"/debug", "Bearer x", http.StatusTeapot},
	} {
		request := httptest.NewRequest(http.MethodGet, test.path, nil)
		request.Header.Set("Authorization", test.authorization)
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if answer.Code != test.want {
			t.Errorf("%s of %q: %d, want %d", test.path, test.authorization, answer.Code, test.want)
		}
		if got := strings.Contains(answer.Body.String(), "backup_policy_"); got != (answer.Code == http.StatusOK) {
			t.Errorf("%s of %q tells of policies: %v", test.path, test.authorization, got)
		}
	}
}

// TestMemoryOfAScrapeDoesNotFollowThePolicies counts allocations, because bytes vary with what is compressed. Other tests'
// operator allocates meanwhile, so the count may vary, but by far less than by one for every second policy.
func TestMemoryOfAScrapeDoesNotFollowThePolicies(t *testing.T) {
	allocations := func(count int) float64 {
		m := watched()
		for i := range count {
			policy := daily()
			policy.Name = fmt.Sprintf("appliance-%05d", i)
			m.set(policy)
		}
		policies, _ := m.sorted()
		return testing.AllocsPerRun(10, func() { _ = writeFamilies(io.Discard, "v1", policies) })
	}
	if few, many := allocations(10), allocations(10_000); many > few+5_000 {
		t.Errorf("%.0f allocations for 10 policies, %.0f for 10,000", few, many)
	}
}

// BenchmarkScrape is one scrape of many policies. What it allocates must not grow with them.
func BenchmarkScrape(b *testing.B) {
	for _, count := range []int{0, 1000, 10000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			m := watched()
			for i := range count {
				policy := daily()
				policy.Name = fmt.Sprintf("appliance-%05d", i)
				m.set(policy)
			}
			request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			request.Header.Set("Accept-Encoding", "gzip")
			b.ReportAllocs()
			for b.Loop() {
				m.ServeHTTP(discarded{http.Header{}}, request)
			}
		})
	}
}

// discarded is an answer that nobody reads.
type discarded struct{ header http.Header }

func (d discarded) Header() http.Header         { return d.header }
func (d discarded) Write(b []byte) (int, error) { return len(b), nil }
func (d discarded) WriteHeader(int)             {}
