// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"appliance.io/backup-operator/test/controlplane"
)

// No operator runs beside this API server, so the policy stays as Flux and Argo CD see it right after its creation.
func TestANewPolicyIsInProgressUntilTheOperatorLooks(t *testing.T) {
	c := controlplane.NewClient(t)
	policy := sample(t)
	policy.SetName("new")
	if err := c.Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Delete(t.Context(), policy) })
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(policy.GroupVersionKind())
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(policy), stored); err != nil {
		t.Fatal(err)
	}
	for name, object := range map[string]*unstructured.Unstructured{"as created": policy, "as read": stored} {
		result, err := status.Compute(object)
		if err != nil {
			t.Fatal(err)
		}
		if result.Status != status.InProgressStatus {
			t.Errorf("%s: %s (%s), want %s", name, result.Status, result.Message, status.InProgressStatus)
		}
	}
}
