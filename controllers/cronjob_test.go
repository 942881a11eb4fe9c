// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/controllers/holders"
	"appliance.io/backup-operator/internal/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestBuildCronJob holds each policy in testdata against the CronJob beside it. The claims and pods that there are, if it
// matters, are in a file beside it too.
func TestBuildCronJob(t *testing.T) {
	policies, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(policies) == 0 {
		t.Fatalf("no policies in testdata: %v", err)
	}
	for _, file := range policies {
		if strings.HasSuffix(file, ".cronjob.yaml") || strings.HasSuffix(file, ".cluster.yaml") {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			policy := readPolicy(t, file)
			schedule, fault := checkSettings(policy, Options{})
			if fault != nil {
				t.Fatal(fault.message)
			}
			claims := readClaims(t, strings.TrimSuffix(file, ".yaml")+".cluster.yaml")
			cronJob := BuildCronJob(policy, schedule, claims, Options{RunnerImage: "backup-operator:v1"})
			// It differs whenever anything else does.
			delete(cronJob.Spec.JobTemplate.Annotations, backupv1alpha1.AnnotationTemplate)
			got, err := yaml.Marshal(cronJob)
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".cronjob.yaml"
			if *update {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("run go test -update if this is meant (-%s +now)\n%s", golden, diff)
			}
		})
	}
}

// decodeStrict decodes a policy and refuses unknown fields, which BackupPolicy itself ignores: it decodes what it can.
func decodeStrict(data []byte) (*backupv1alpha1.BackupPolicy, error) {
	var policy struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Spec              backupv1alpha1.BackupPolicySpec   `json:"spec"`
		Status            backupv1alpha1.BackupPolicyStatus `json:"status"`
	}
	err := yaml.UnmarshalStrict(data, &policy)
	return &backupv1alpha1.BackupPolicy{
		TypeMeta: policy.TypeMeta, ObjectMeta: policy.ObjectMeta, Spec: policy.Spec, Status: policy.Status,
	}, err
}

func TestAMisspelledFieldOfATestPolicyIsRefused(t *testing.T) {
	for _, text := range []string{
		"kin: BackupPolicy", "metadata: {nam: a}", "spec: {schedul: daily}", "spec: {job: {label: {}}}", "status: {run: {}}",
	} {
		if _, err := decodeStrict([]byte(text)); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

func readPolicy(t *testing.T, file string) *backupv1alpha1.BackupPolicy {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := decodeStrict(data)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if policy.Namespace == "" {
		policy.Namespace = "orbit"
	}
	return policy
}

// readClaims reads a file of PersistentVolumeClaims and pods; none if there is no such file.
func readClaims(t *testing.T, file string) map[string]claim {
	t.Helper()
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		t.Fatal(err)
	}
	var pods []*corev1.Pod
	claims := make(map[string]claim)
	for document := range bytes.SplitSeq(data, []byte("\n---\n")) {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatal(err)
		}
		var into client.Object = &corev1.PersistentVolumeClaim{}
		if kind.Kind == "Pod" {
			into = &corev1.Pod{}
		}
		if err := yaml.UnmarshalStrict(document, into); err != nil {
			t.Fatal(err)
		}
		switch object := into.(type) {
		case *corev1.Pod:
			pods = append(pods, object)
		case *corev1.PersistentVolumeClaim:
			claims[object.Name] = asKept(object)
		}
	}
	known := holders.Fixed(slices.Values(pods))
	for name, c := range claims {
		c.holders = known.Of("orbit", name)
		claims[name] = c
	}
	return claims
}

// TestRunnerHasNoCredentials states what no settings may change.
func TestRunnerHasNoCredentials(t *testing.T) {
	for _, file := range []string{"page", "job", "remote-only", "clone"} {
		policy := readPolicy(t, "testdata/"+file+".yaml")
		schedule, _ := checkSettings(policy, Options{})
		pod := BuildCronJob(policy, schedule, nil, Options{RunnerImage: "i"}).Spec.JobTemplate.Spec.Template.Spec
		if token := pod.AutomountServiceAccountToken; token == nil || *token {
			t.Errorf("%s: the pod gets a service account's token", file)
		}
		if pod.ServiceAccountName != "" {
			t.Errorf("%s: the pod has the service account %s", file, pod.ServiceAccountName)
		}
		for _, mount := range pod.Containers[0].VolumeMounts {
			if strings.HasPrefix(mount.MountPath, sourcesPath) && !mount.ReadOnly {
				t.Errorf("%s: the source %s is mounted for writing", file, mount.Name)
			}
		}
	}
}

// TestSampleIsTheTestedPage keeps the sample that users start from and the tested policy one and the same.
func TestSampleIsTheTestedPage(t *testing.T) {
	sample := readPolicy(t, "../config/samples/backuppolicy.yaml")
	if diff := cmp.Diff(readPolicy(t, "testdata/page.yaml"), sample); diff != "" {
		t.Error(diff)
	}
}

// A Go program that panics, or that SIGQUIT ends, exits with 2. That says nothing about the settings.
func TestACrashOfTheRunnerIsRetried(t *testing.T) {
	const crash = 2
	for _, rule := range podFailurePolicy().Rules {
		if rule.OnExitCodes != nil && slices.Contains(rule.OnExitCodes.Values, crash) {
			t.Errorf("%s at exit code %d", rule.Action, crash)
		}
	}
	for _, code := range []int{report.ExitSucceeded, report.ExitFailed, report.ExitIncomplete, report.ExitInvalid} {
		if code == crash {
			t.Errorf("the runner exits with %d by itself", code)
		}
	}
}

// TestARunWaitsForAnotherOneAsLongAsItsDeadlineAllows, and then has time to say for whom, whatever the deadline.
func TestARunWaitsForAnotherOneAsLongAsItsDeadlineAllows(t *testing.T) {
	for deadline, want := range map[int64]time.Duration{
		0: 24*time.Hour - 5*time.Minute, 14400: 4*time.Hour - 5*time.Minute, 90: 67500 * time.Millisecond, 1: 750 * time.Millisecond,
		math.MaxInt64: time.Duration(maxDeadline)*time.Second - 5*time.Minute,
	} {
		spec := &backupv1alpha1.BackupPolicySpec{Job: &backupv1alpha1.JobTemplate{}}
		if deadline > 0 {
			spec.Job.ActiveDeadlineSeconds = &deadline
		}
		if got := lockTimeout(spec); got != want {
			t.Errorf("with a deadline of %d seconds a run waits %s, want %s", deadline, got, want)
		}
	}
}
