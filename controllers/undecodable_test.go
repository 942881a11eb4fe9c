// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/test/controlplane"
)

// loosen has the CRD accept any text as a quantity and any text as a duration, as an earlier version did, until the returned
// function is called.
func loosen(t *testing.T) (restore func()) {
	t.Helper()
	c := controlplane.NewClient(t)
	crd := &unstructured.Unstructured{}
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	key := client.ObjectKey{Name: "backuppolicies.backup.appliance.io"}
	if err := c.Get(t.Context(), key, crd); err != nil {
		t.Fatal(err)
	}
	strict := crd.DeepCopy()
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, path := range []string{
		"spec.properties.job.properties.resources.properties.limits.additionalProperties",
		"status.properties.lastRun.properties.duration",
	} {
		fields := append([]string{"schema", "openAPIV3Schema", "properties"}, strings.Split(path, ".")...)
		for _, rule := range []string{"pattern", "maxLength"} {
			unstructured.RemoveNestedField(versions[0].(map[string]any), append(fields, rule)...)
		}
	}
	if err := unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions"); err != nil {
		t.Fatal(err)
	}
	if err := c.Update(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	return func() {
		strict.SetResourceVersion(crd.GetResourceVersion())
		if err := c.Update(t.Context(), strict); err != nil {
			t.Fatal(err)
		}
	}
}

// withCPULimit is a policy as it is stored, with such a limit.
func withCPULimit(t *testing.T, namespace, name, cpu string) *unstructured.Unstructured {
	t.Helper()
	policy := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"backupDirectory": "/daily",
		"storage":         map[string]any{"persistentVolumeClaim": map[string]any{"claimName": "appliance-backups"}},
		"job":             map[string]any{"resources": map[string]any{"limits": map[string]any{"cpu": cpu}}},
	}}}
	policy.SetGroupVersionKind(backupv1alpha1.GroupVersion.WithKind("BackupPolicy"))
	policy.SetNamespace(namespace)
	policy.SetName(name)
	return policy
}

// TestOnePolicyThatCannotBeDecodedBlindsNobody stores policies that no client can decode beside one that can be: the
// operator says so of each of them, and serves the other one.
func TestOnePolicyThatCannotBeDecodedBlindsNobody(t *testing.T) {
	ns, c := namespace(t, "appliance-backups"), controlplane.NewClient(t)
	restore := loosen(t)
	strange := map[string]string{"fraction": "1e1.5", "endless": "1e-999999999", "dots": "1.e.5"}
	for name, cpu := range strange {
		eventually(t, func() error { return c.Create(t.Context(), withCPULimit(t, ns, name, cpu)) })
	}
	restore()
	eventually(t, func() error {
		if err := c.Create(t.Context(), withCPULimit(t, ns, "late", "1e1.5"), client.DryRunAll); !apierrors.IsInvalid(err) {
			return errors.Join(errors.New("the CRD is still loose"), err)
		}
		return nil
	})
	if err := c.Create(t.Context(), withCPULimit(t, ns, "sound", "1")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return isReady(t, ns, "sound", metav1.ConditionTrue, "") })
	for name, cpu := range strange {
		eventually(t, func() error {
			return isReady(t, ns, name, metav1.ConditionFalse, fmt.Sprintf("spec.job.resources.limits.cpu: %q: ", cpu))
		})
	}
	var events eventsv1.EventList
	eventually(t, func() error {
		if err := c.List(t.Context(), &events, client.InNamespace(ns)); err != nil {
			return err
		}
		told := map[string]bool{}
		for _, event := range events.Items {
			if event.Reason == backupv1alpha1.ReasonUndecodable && event.Type == corev1.EventTypeWarning {
				told[event.Regarding.Name] = true
			}
		}
		if len(told) != len(strange) {
			return fmt.Errorf("the events are %v", told)
		}
		return nil
	})
	listsAnew(t, ns, len(strange)+1)
}

// isReady checks the condition Ready of a policy.
func isReady(t *testing.T, namespace, name string, status metav1.ConditionStatus, message string) error {
	t.Helper()
	var policy backupv1alpha1.BackupPolicy
	if err := controlplane.NewClient(t).Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &policy); err != nil {
		return err
	}
	ready := meta.FindStatusCondition(policy.Status.Conditions, backupv1alpha1.ConditionReady)
	if ready == nil || ready.Status != status || !strings.Contains(ready.Message, message) {
		return fmt.Errorf("%s: %+v", name, ready)
	}
	return nil
}

// listsAnew has the cache of a restarted operator find so many policies.
func listsAnew(t *testing.T, namespace string, want int) {
	t.Helper()
	restarted, err := cache.New(controlplane.Config, cache.Options{
		Scheme: controlplane.NewScheme(t), ByObject: CacheObjects(),
		DefaultNamespaces: map[string]cache.Config{namespace: {}},
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if err := restarted.Start(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if !restarted.WaitForCacheSync(t.Context()) {
		t.Fatal("the cache isn't filled")
	}
	var policies backupv1alpha1.BackupPolicyList
	if err := restarted.List(t.Context(), &policies); err != nil {
		t.Fatal(err)
	}
	if len(policies.Items) != want {
		t.Errorf("a restarted operator knows %d policies, want %d", len(policies.Items), want)
	}
}

// TestAStatusThatCannotBeDecodedIsReplaced, for the operator alone writes it.
func TestAStatusThatCannotBeDecodedIsReplaced(t *testing.T) {
	ns, c := namespace(t, "appliance-backups"), controlplane.NewClient(t)
	restore := loosen(t)
	policy := withCPULimit(t, ns, "appliance", "1")
	if err := c.Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return isReady(t, ns, "appliance", metav1.ConditionTrue, "") })
	strange := []byte(`{"status":{"lastRun":{"duration":"1 day"}}}`)
	eventually(t, func() error {
		return c.Status().Patch(t.Context(), policy, client.RawPatch("application/merge-patch+json", strange))
	})
	restore()
	touch := []byte(`{"spec":{"schedule":"@daily"}}`)
	if err := c.Patch(t.Context(), policy, client.RawPatch("application/merge-patch+json", touch)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(policy), policy); err != nil {
			return err
		}
		if duration, found, _ := unstructured.NestedString(policy.Object, "status", "lastRun", "duration"); found {
			return fmt.Errorf("the duration is still %q", duration)
		}
		return isReady(t, ns, "appliance", metav1.ConditionTrue, "")
	})
}
