// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/test/controlplane"
)

// TestMissingPermissionsAreNotThePolicysFault asks a real API server as a user who may do nothing.
func TestMissingPermissionsAreNotThePolicysFault(t *testing.T) {
	ns := namespace(t)
	config := rest.CopyConfig(controlplane.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:backup-operator-system:backup-operator"}
	c, err := client.New(config, client.Options{Scheme: controlplane.NewScheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	policy := rsyncPolicy()
	policy.Namespace = ns
	schedule, _ := checkSettings(policy, Options{})
	cronJob := BuildCronJob(policy, schedule, nil, Options{RunnerImage: "i"})
	applied := &unstructured.Unstructured{Object: throughJSON(t, cronJob)}
	for verb, err := range map[string]error{
		"create": c.Create(t.Context(), cronJob.DeepCopy()),
		"get":    c.Get(t.Context(), client.ObjectKeyFromObject(cronJob), &batchv1.CronJob{}),
		"patch":  c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(applied), FieldOwner),
	} {
		state, passing := notApplied(schedule, nil, err)
		if passing != nil || state.retryAfter != refusedPause {
			t.Errorf("%s: tried again after %s (%v)", verb, state.retryAfter, passing)
		}
		if state.reason != backupv1alpha1.ReasonOperatorNotPermitted || state.beside != backupv1alpha1.ConditionStalled {
			t.Errorf("%s: %s beside %s", verb, state.reason, state.beside)
		}
		for _, words := range []string{"not the policy's fault", `cannot ` + verb + ` resource "cronjobs"`, "ClusterRole"} {
			if !strings.Contains(state.message, words) {
				t.Errorf("%s: %q is not in %q", verb, words, state.message)
			}
		}
		if strings.Contains(state.message, "spec.job") {
			t.Errorf("%s: %q blames the policy", verb, state.message)
		}
	}
}

// TestANamespaceThatIsBeingDeletedIsNobodysFault. This control plane never finishes the deletion of a namespace.
func TestANamespaceThatIsBeingDeletedIsNobodysFault(t *testing.T) {
	ns := namespace(t, "data", "backups")
	c := controlplane.NewClient(t)
	policy := apply(t, "testdata/minimal.yaml", ns)
	waitReady(t, policy, metav1.ConditionTrue, "Scheduled")
	if err := c.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), mustGetCronJob(t, policy)); err != nil {
		t.Fatal(err)
	}
	ready := waitReady(t, policy, metav1.ConditionFalse, "NamespaceTerminating")
	if strings.Contains(ready.Message, "spec.job") || !strings.Contains(ready.Message, "is being deleted") {
		t.Errorf("message: %s", ready.Message)
	}
	var now backupv1alpha1.BackupPolicy
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(policy), &now); err != nil {
		t.Fatal(err)
	}
	wantCondition(t, &now.Status, "Reconciling", metav1.ConditionTrue, "NamespaceTerminating")
}

func TestWhoMendsARefusal(t *testing.T) {
	for words, want := range map[string]string{
		`pods "a" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true`:                    "podSecurityContext",
		`pods "a" is forbidden: exceeded quota: q, requested: limits.cpu=2, used: limits.cpu=1`:                    "job.resources",
		`pods "a" is forbidden: failed quota: q: must specify limits.cpu`:                                          "job.resources",
		`cronjobs.batch "a" is forbidden: exceeded quota: none, requested: count/cronjobs.batch=1, used:`:          "raise the quota",
		`pods "a" is forbidden: exceeded quota: few, requested: pods=1, used: pods=3, limited: pods=3`:             "raise the quota",
		`pods "a" is forbidden: maximum cpu usage per Container is 1, but limit is 2`:                              "LimitRange",
		`admission webhook "validate.kyverno.svc-fail" denied the request: no`:                                     "admission policy",
		`cronjobs.batch "a" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request`:           "admission policy",
		`pods "a" is forbidden: error looking up service account x/default: serviceaccount "default" not found`:    "ServiceAccount",
		`pods "a" is forbidden: unable to create new content in namespace x because it is being terminated`:        "nothing to do",
		`CronJob.batch "a" is invalid: spec.jobTemplate.spec.template.spec.containers[0].image: Required value`:    "spec.job",
		`pods "a" is forbidden: no PriorityClass with name high was found`:                                         "spec.job",
		`pods is forbidden: User "system:serviceaccount:kube-system:job-controller" cannot create resource "pods"`: "not the policy's fault",
	} {
		if got := refusedFix(words); !strings.Contains(got, want) {
			t.Errorf("%s:\n%s, want %s", words, got, want)
		}
	}
	for words, want := range map[string]bool{
		`cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>`: true,
		`cronjobs.batch is forbidden: User "u" cannot create resource "cronjobs" in API group "batch"`:                 true,
		`cronjobs.batch "a" is forbidden: exceeded quota: none`:                                                        false,
	} {
		if lacksPermission(words) != want {
			t.Errorf("%s: %t", words, !want)
		}
	}
}
