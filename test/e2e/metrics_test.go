// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"appliance.io/backup-operator/test/monitoring"
)

// The operator as hack/e2e.sh installs it.
const (
	operatorNamespace = "backup-operator-system"
	metricsService    = "service/backup-operator-metrics"
	metricsReader     = "backup-operator-metrics-reader"
)

// TestMetricsAreForThoseWhoMay: who has no token, or one without the role, is refused.
func TestMetricsAreForThoseWhoMay(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	for name, test := range map[string]struct {
		token string
		want  int
	}{
		"no token": {"", http.StatusUnauthorized},
		// The API server has an error to tell of such a token, and controller-runtime passes that on.
		"a token of nobody's":         {"nonsense", http.StatusInternalServerError},
		"an account without the role": {a.account("stranger"), http.StatusForbidden},
		"an account with the role":    {a.scraper(), http.StatusOK},
	} {
		eventually(t, func() error {
			status, body, err := scrape(t.Context(), test.token)
			if err == nil && status != test.want {
				err = fmt.Errorf("%s: answered %d, want %d", name, status, test.want)
			}
			if status != http.StatusOK && strings.Contains(body, "backup_policy_") {
				t.Errorf("%s: answered %d, and yet with metrics:\n%s", name, status, body)
			}
			return err
		})
	}
}

// TestMetricsTellWhatTheStatusSays follows a policy through a success, a failure and its end.
func TestMetricsTellWhatTheStatusSays(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	token := a.scraper()
	p := a.apply("appliance", nil)
	run := p.mustRun()
	status := p.get().Status
	success := fmt.Sprint(status.LastSuccessTime.Unix())
	p.wantMetrics(token, map[string]string{
		"backup_policy_last_success_timestamp_seconds":                           success,
		"backup_policy_next_schedule_timestamp_seconds":                          fmt.Sprint(status.NextScheduleTime.Unix()),
		"backup_policy_last_run_duration_seconds":                                fmt.Sprint(run.Duration.Seconds()),
		"backup_policy_last_run_read_bytes":                                      fmt.Sprint(*run.BytesRead),
		"backup_policy_last_run_written_bytes":                                   fmt.Sprint(*run.BytesWritten),
		"backup_policy_last_run_new_bytes":                                       fmt.Sprint(*run.BytesNew),
		"backup_policy_last_run_files":                                           fmt.Sprint(*run.Files),
		"backup_policy_last_run_outcome,outcome=Succeeded,reason=":               "1",
		"backup_policy_backups":                                                  "1",
		"backup_policy_backups_bytes":                                            fmt.Sprint(*run.BytesWritten),
		"backup_policy_storage_free_bytes":                                       fmt.Sprint(*status.Backups.FreeBytes),
		"backup_policy_consecutive_failures":                                     "0",
		"backup_policy_condition,type=Ready,status=True,reason=Scheduled":        "1",
		"backup_policy_condition,type=Synchronized,status=True,reason=Succeeded": "1",
	})

	// The backup directory becomes a file, so that the next run fails.
	command(t, "mv", a.path("backups", "daily"), a.path("backups", "before"))
	a.write("in the way", "backups", "daily")
	failed := p.run()
	p.wantMetrics(token, map[string]string{
		"backup_policy_last_success_timestamp_seconds":                          success,
		"backup_policy_consecutive_failures":                                    "1",
		"backup_policy_last_run_outcome,outcome=Failed,reason=" + failed.Reason: "1",
	})

	if err := cluster.Delete(t.Context(), p.get()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_, body, err := scrape(t.Context(), token)
		if err == nil && strings.Contains(body, fmt.Sprintf("namespace=%q", a.namespace)) {
			err = errors.New("the metrics still tell of a policy that is gone")
		}
		return err
	})
}

// TestOperatorsOwnMetricsInRulesExist: what the alerts ask of the operator itself is served where it is installed.
func TestOperatorsOwnMetricsInRulesExist(t *testing.T) {
	t.Parallel()
	token := newAppliance(t).scraper()
	rules, _, err := monitoring.ReadRules("../../config/prometheus/prometheus_rule.yaml")
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, rule := range rules {
		for _, selector := range monitoring.Selectors(rule.Expr) {
			asked[selector.Metric] = true
		}
	}
	eventually(t, func() error {
		// A replica that stands by counts nothing yet.
		var operators corev1.PodList
		err := cluster.List(t.Context(), &operators, client.InNamespace(operatorNamespace))
		body := ""
		for i := range operators.Items {
			_, served, scrapeErr := scrapeFrom(t.Context(), "pod/"+operators.Items[i].Name, token)
			body += served
			err = errors.Join(err, scrapeErr)
		}
		for _, name := range slices.Sorted(maps.Keys(asked)) {
			if !strings.HasPrefix(name, "backup_policy_") && !strings.Contains(body, "\n"+name+"{") {
				err = errors.Join(err, fmt.Errorf("no %s is served", name))
			}
		}
		return err
	})
}

// wantMetrics waits until the metrics tell this of the policy: values by a metric's name and its labels besides the
// policy's own.
func (p *policy) wantMetrics(token string, want map[string]string) {
	p.t.Helper()
	eventually(p.t, func() error {
		status, body, err := scrape(p.t.Context(), token)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("answered %d: %w", status, err)
		}
		lines := strings.Split(body, "\n")
		for key, value := range want {
			labels := strings.Split(key, ",")
			line := fmt.Sprintf("%s{namespace=%q,policy=%q", labels[0], p.namespace, p.name)
			for _, label := range labels[1:] {
				name, text, _ := strings.Cut(label, "=")
				line += fmt.Sprintf(",%s=%q", name, text)
			}
			if line += "} " + value; !slices.Contains(lines, line) {
				err = errors.Join(err, fmt.Errorf("no %s, but:\n%s", line, strings.Join(about(lines, labels[0]+"{", p.namespace), "\n")))
			}
		}
		return err
	})
}

// about are the lines of a metric that tell of a namespace.
func about(lines []string, metric, namespace string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		return !strings.HasPrefix(line, metric) || !strings.Contains(line, namespace)
	})
}

// account makes a service account in the appliance's namespace and returns a token of its own.
func (a *appliance) account(name string) string {
	a.t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: name}}
	if err := cluster.Create(a.t.Context(), account); err != nil {
		a.t.Fatal(err)
	}
	request := &authenticationv1.TokenRequest{}
	if err := cluster.SubResource("token").Create(a.t.Context(), account, request); err != nil {
		a.t.Fatal(err)
	}
	return request.Status.Token
}

// scraper is an account that may read metrics, as that of a Prometheus.
func (a *appliance) scraper() string {
	a.t.Helper()
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: a.namespace + "-scraper"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: metricsReader},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: a.namespace, Name: "scraper"}},
	}
	if err := cluster.Create(a.t.Context(), binding); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		if err := client.IgnoreNotFound(cluster.Delete(contextWithoutTest(), binding)); err != nil {
			a.t.Error(err)
		}
	})
	return a.account("scraper")
}

// scrape asks one operator for its metrics, through a port of this machine that is forwarded for as long.
func scrape(ctx context.Context, token string) (status int, body string, err error) {
	return scrapeFrom(ctx, metricsService, token)
}

// scrapeFrom asks a pod, or one of those of a service.
func scrapeFrom(ctx context.Context, target, token string) (status int, body string, err error) {
	// A pod that is going away may never answer: who asks asks again.
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	forward := exec.CommandContext(ctx, "kubectl", "-n", operatorNamespace, "port-forward", target, ":8443")
	forward.Stderr = os.Stderr
	said, err := forward.StdoutPipe()
	if err != nil {
		return 0, "", err
	}
	if err := forward.Start(); err != nil {
		return 0, "", err
	}
	defer func() {
		cancel()
		_ = forward.Wait() // It was killed just now.
	}()
	line, err := bufio.NewReader(said).ReadString('\n')
	var port int
	if _, scanErr := fmt.Sscanf(line, "Forwarding from 127.0.0.1:%d", &port); scanErr != nil {
		return 0, "", fmt.Errorf("kubectl port-forward said %q: %w", line, errors.Join(err, scanErr))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d/metrics", port), nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	// The operator signs its certificate itself: its users know that, too.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(content), err
}
